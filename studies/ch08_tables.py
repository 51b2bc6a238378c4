"""What chapter 8 reports: the rows that F8 and A4 compare, and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from companion.chapter import intervals
from lib.core import Floats, InputError
from lib.encoders.training import validation_score, validation_users
from lib.metrics import ndcg
from lib.probes.scores import estimate
from lib.stats import Estimate, holm, paired, summary
from studies import ch08_methods, measures
from studies.ch08_methods import ALIGNMENT, FAMILIES, FUSION, MAX_DIMENSION, NULL, SINGLE
from studies.ch08_scores import MethodScores, score
from studies.ch14_open_questions import fused_recall
from studies.context import Run

RIVALS = ("LightGCN", "RLMRec-Con", "CARec style")  # begin the names of A4's opponents


class Width(NamedTuple):
    """A bound on the dimensions of the views that a method rests on: their sum, or the largest."""

    of: Callable[[Sequence[int]], int]
    most: float


TOTAL, PER_VIEW = Width(sum, MAX_DIMENSION), Width(max, MAX_DIMENSION)
CONVENTIONS = {
    "64 in all": Width(sum, 64),
    "128 in all (judged)": TOTAL,
    "192 in all": Width(sum, 192),
    "64 a view": Width(max, 64),
    "128 a view (judged)": PER_VIEW,
    "any width": Width(max, np.inf),
}


def best_method(scores: Sequence[MethodScores], width: Width, *families: str) -> MethodScores:
    """Return the method of the best validation score that is of some families and a width."""
    able = [
        one
        for one in scores
        if not one.reason
        and one.method.family in families
        and width.of(one.dimensions) <= width.most
    ]
    if not able:
        told = f"no method of {', '.join(families)} that was run has at most {width.most:g}"
        raise InputError(f"{told} dimensions; give more methods")
    return max(able, key=lambda one: one.validation)


def compared(scores: Sequence[MethodScores], width: Width) -> dict[str, MethodScores]:
    """Return the best ``fusion``, ``alignment`` and ``single`` view of a width, and a null.

    ``seeds`` is the fusion of two LightGCN seeds whose total dimension is nearest to the fusion's.
    """
    families = {"fusion": FUSION, "alignment": ALIGNMENT, "single": SINGLE}
    found = {name: best_method(scores, width, of) for name, of in families.items()}
    total = sum(found["fusion"].dimensions)
    ensembles = [one for one in scores if one.method.family == NULL and len(one.method.views) > 1]
    return found | {"seeds": min(ensembles, key=lambda one: abs(sum(one.dimensions) - total))}


def judged(scores: Sequence[MethodScores]) -> set[str]:
    """Return the names of the methods that F8 compares."""
    return {one.method.name for of in (TOTAL, PER_VIEW) for one in compared(scores, of).values()}


def every_seed(run: Run, scores: Sequence[MethodScores]) -> list[MethodScores]:
    """Return the scores, those of the methods that F8 compares over all seeds of the run.

    Validation stays that of the seeds they were chosen by, so that the choice stays as well.
    """
    names = judged(scores)
    able = [one.method for one in scores if one.method.name in names]
    again = {one.method.name: one for one in score(run, able)}
    return [
        replace(again[one.method.name], validation=one.validation)
        if one.method.name in names
        else one
        for one in scores
    ]


def matched(*values: Floats) -> list[Floats]:
    """Return values (n_seeds × n_users each) of the seeds that all have; those of one seed stay."""
    fewest = min((len(one) for one in values if len(one) > 1), default=1)
    return [one[:fewest] for one in values]


def pair(top: MethodScores, base: MethodScores, metric: str = "recall") -> list[Floats]:
    """Return a metric of two methods by seed and user, of the same seeds."""
    return matched(*(getattr(one, metric) for one in (top, base)))


def f8_measures(scores: Sequence[MethodScores]) -> dict[str, Estimate]:
    """Return F8's measures: fusion over alignment at either width, and over what has no text."""
    total, per_view = compared(scores, TOTAL), compared(scores, PER_VIEW)
    over = {
        "advantage": (total, "alignment", "recall"),
        "ndcg": (total, "alignment", "ndcg"),
        "per_view": (per_view, "alignment", "recall"),
        "per_view_ndcg": (per_view, "alignment", "ndcg"),
        "single": (total, "single", "recall"),
        "seeds": (total, "seeds", "recall"),
    }
    pairs = {name: pair(of["fusion"], of[row], by) for name, (of, row, by) in over.items()}
    return measures.measure("F8", **pairs)


def a4_measures(
    scores: Sequence[MethodScores], reference: Sequence[MethodScores]
) -> dict[str, Estimate]:
    """Return A4's measures; NaN where nothing was run at the reference's settings."""
    columns = []
    for of in (reference, scores) if reference else ():
        rivals = [one for one in of if one.method.name.startswith(RIVALS)]
        columns += [
            best_method(of, TOTAL, FUSION).recall,
            best_method(rivals, TOTAL, SINGLE, ALIGNMENT).recall,
        ]
    return measures.measure("A4", *matched(*columns))


def by_weight(run: Run) -> pd.DataFrame:
    """Return recall of norm-concat by the weight of its second member: what, weight, an estimate.

    The second member is the text, or, in its place, LightGCN of another seed.
    """
    first, rows = run.views("lightgcn"), []
    beside = {"text": run.views("linear"), "second seed": run.views("lightgcn", second=True)}
    for weight in np.linspace(0, 1, 11).round(1).tolist():
        for name, others in beside.items():
            found = fused_recall(run, [first, others], np.array([[1 - weight, weight]]))
            what = f"LightGCN and {name}"
            rows.append({"what": what, "weight": weight, **summary(found)._asdict()})
    return pd.DataFrame(rows)


def by_convention(scores: Sequence[MethodScores], k: int) -> pd.DataFrame:
    """Return a row per way of giving both sides one width: what is compared, and by how much."""
    rows = {}
    for what, width in CONVENTIONS.items():
        of = compared(scores, width)
        rows[what] = {name: one.method.name for name, one in of.items()}
        if chosen := "; ".join(dict.fromkeys(of["alignment"].chosen)):
            rows[what]["alignment"] += f" ({chosen})"
        for metric, base in (("recall", "alignment"), ("ndcg", "alignment"), ("recall", "seeds")):
            found = measures.gain(*pair(of["fusion"], of[base], metric))
            rows[what][f"{metric}@{k} over {base}"] = measures.percent(estimate(found))
    return pd.DataFrame(rows).T


def learning_curve(run: Run) -> tuple[pd.DataFrame, float, str]:
    """Return the reference LightGCN's validation NDCG@20 by epoch, popularity's, and words."""
    spec, popular = ch08_methods.REFERENCE["LightGCN"][1], run.view("popularity", 0)
    info = ch08_methods.fitted(run, run.seeds[0], spec).info
    history, n = info["history"], len(info["history"])
    curve = pd.DataFrame({"what": "LightGCN", "epoch": np.arange(1.0, n + 1), "mean": history})
    given = popular.users, popular.items, validation_users(run.dataset)
    floor = validation_score(run.dataset, *given, ndcg)
    most, patience = (info["parameters"][name] for name in ("epochs", "patience"))
    why = "it was given no more" if n == most else f"none of the last {patience} was better"
    words = f"LightGCN was best after epoch {info['epochs']} ({max(history):.4f}) and stopped after"
    words += f" epoch {n}, because {why}; the most popular items have {floor:.4f}."
    return curve.assign(low=history, high=history), floor, words


def tidy_table(scores: Sequence[MethodScores], base: MethodScores) -> pd.DataFrame:
    """Return all that is known of every method, by family and then by validation score.

    Columns what, family, validation; recall and ndcg; gain in recall over ``base``, and of their
    difference the effect (d_z), randomisation p and p_holm, corrected over all methods but the
    base; seconds, parameters, dimension, seeds, trials, chosen, reason. Intervals have columns
    _low and _high. Methods that were not run have NaN for numbers and stand last in their family.
    """
    found = pd.DataFrame([_record(one, base) for one in scores])
    order = found.assign(family=found["family"].map(FAMILIES.index))
    order = order.sort_values(["family", "validation"], ascending=[True, False], kind="stable")
    return found.assign(p_holm=holm(found["p"])).loc[order.index].reset_index(drop=True)


def _record(one: MethodScores, base: MethodScores) -> dict[str, object]:
    record: dict[str, object] = {
        "what": one.method.name,
        "family": one.method.family,
        "validation": one.validation,
        "p": np.nan,
    }
    if not one.reason:
        both = pair(one, base)
        found = {"recall": summary(one.recall), "ndcg": summary(one.ndcg)}
        found["gain"] = estimate(measures.gain(*both))
        for name, value in found.items():
            record |= {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}
        test = paired(*both)
        record |= {"effect": test.effect, "p": np.nan if one is base else test.p}
    names = ("seconds", "parameters", "seeds", "trials", "reason")
    dimension = " + ".join(map(str, one.dimensions)) or "–"
    chosen = {"chosen": "; ".join(one.chosen), "dimension": dimension}
    return record | chosen | {name: getattr(one, name) for name in names}


def drawn(table: pd.DataFrame, scores: Sequence[MethodScores], most: int = 12) -> pd.DataFrame:
    """Return the rows of the best validation scores, and those that F8 compares, for a figure."""
    names = judged(scores)
    best = table["validation"].rank(ascending=False) <= most
    rows = table[best | table["what"].isin(names)]
    columns = {"mean": rows["gain"], "low": rows["gain_low"], "high": rows["gain_high"]}
    return rows.assign(panel=rows["family"], group=rows["family"], **columns)


def as_text(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """Return the table as a page shows it: accuracy, gain over the base, cost and choices."""
    shown = pd.DataFrame({"seeds": table["seeds"], "validation": _numbers(table["validation"])})
    for title, name in (("Recall", "recall"), ("NDCG", "ndcg")):
        shown[f"{title}@{k}"] = intervals(table, name)
    shown["gain"] = intervals(table, "gain")
    shown["d_z"], shown["p (Holm)"] = _numbers(table["effect"]), _numbers(table["p_holm"])
    for name in ("seconds", "parameters"):
        shown[name] = _numbers(table[name], ",.0f")
    shown[["dimension", "trials", "chosen"]] = table[["dimension", "trials", "chosen"]]
    missing = table["reason"] != ""
    shown.loc[missing, "validation"] = "not run: " + table.loc[missing, "reason"]
    return shown.set_index(pd.MultiIndex.from_frame(table[["family", "what"]], names=["", ""]))


def _numbers(values: pd.Series, form: str = ".4f") -> list[str]:
    return ["–" if np.isnan(value) else f"{value:{form}}" for value in values]
