"""What chapter 8 reports: the methods that F8 compares, who leads, and the tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.core import InputError
from lib.stats import Estimate, holm, paired, relative_gain, summary
from studies import measures
from studies.ch08_methods import ALIGNMENT, FAMILIES, FUSION, NULL, SINGLE
from studies.ch08_scores import MethodScores

MAX_DIMENSION = 128
"""The largest dimension of vectors, and of views whose lists are fused, that compete in F8."""
NOTHING = "–"


def best_method(
    scores: Sequence[MethodScores], *families: str, max_dimension: float = np.inf
) -> MethodScores:
    """Return the method of the best validation score, of all families or of those given.

    ``max_dimension`` bounds the dimension of its vectors, or of each view whose list it fuses.
    """
    able = [
        one
        for one in scores
        if not one.reason
        and one.method.family in (families or FAMILIES)
        and max(one.dimensions) <= max_dimension
    ]
    if not able:
        raise InputError(
            f"no method of {', '.join(families) or 'any family'} that was run has at most "
            f"{max_dimension:g} dimensions; give more methods"
        )
    return max(able, key=lambda one: one.validation)


def f8_methods(scores: Sequence[MethodScores]) -> dict[str, MethodScores]:
    """Return the methods that F8 compares: the best of three families on validation, and a null.

    ``fusion``, ``alignment`` and ``single`` have vectors, or fuse lists of views, of at most
    ``MAX_DIMENSION``; ``seeds`` is the ensemble of two LightGCN seeds whose total dimension is
    nearest to the fusion's.
    """
    families = {"fusion": FUSION, "alignment": ALIGNMENT, "single": SINGLE}
    found = {
        name: best_method(scores, family, max_dimension=MAX_DIMENSION)
        for name, family in families.items()
    }
    total = sum(found["fusion"].dimensions)
    ensembles = [one for one in scores if one.method.family == NULL and len(one.method.views) > 1]
    return found | {"seeds": min(ensembles, key=lambda one: abs(sum(one.dimensions) - total))}


def f8_measures(compared: dict[str, MethodScores], k: int) -> dict[str, Estimate]:
    """Return F8's measures of what ``f8_methods`` gives."""
    fused = compared["fusion"].recall_at(k)
    over = {"advantage": "alignment", "single": "single", "seeds": "seeds"}
    recalls = {name: (fused, compared[other].recall_at(k)) for name, other in over.items()}
    return measures.measure("F8", **recalls)


def leader_text(scores: Sequence[MethodScores], k: int) -> str:
    """Say in Markdown whether our best fusion, of any dimension, leads on the test items.

    The fusion is chosen on validation; it is compared with the method, of any family, that has
    the best test recall or, where that is the fusion, with the next one.
    """
    able = [one for one in scores if not one.reason]
    order = sorted(able, key=lambda one: float(np.nanmean(one.recall_at(k))), reverse=True)
    ours = best_method(scores, FUSION)
    rank = order.index(ours)
    other, place = (order[0], "the leader") if rank else (order[1], "the next")
    gain = relative_gain(ours.recall_at(k), other.recall_at(k))
    chosen = f" Validation chose for it, seed by seed: {'; '.join(ours.chosen)}."
    return (
        f"Our best fusion by validation, **{ours.method.name}**, has rank {rank + 1} of "
        f"{len(order)} on the test items. Its Recall@{k} over that of {place}, "
        f"**{other.method.name}** ({other.method.family}), is {gain.mean:+.1%} "
        f"[{gain.low:+.1%}, {gain.high:+.1%}]." + chosen * bool(ours.chosen)
    )


def tidy_table(scores: Sequence[MethodScores], leader: MethodScores, k: int) -> pd.DataFrame:
    """Return all that is known of every method, by family and then by validation score.

    Columns what, family, validation; mean, low, high and n of Recall@k; recall@K and ndcg@K for
    each length K; difference of Recall@k from the leader, its effect (d_z), randomisation p and
    p_holm, corrected over all methods but the leader; seconds, parameters, dimension, seeds,
    trials, chosen, reason. Intervals have columns _low and _high. Methods that were not run have
    NaN for numbers and stand last in their family.
    """
    found = pd.DataFrame([_record(one, leader, k) for one in scores])
    order = found.assign(family=found["family"].map(FAMILIES.index))
    order = order.sort_values(["family", "validation"], ascending=[True, False], kind="stable")
    return found.assign(p_holm=holm(found["p"])).loc[order.index].reset_index(drop=True)


def _record(one: MethodScores, leader: MethodScores, k: int) -> dict[str, object]:
    record: dict[str, object] = {
        "what": one.method.name,
        "family": one.method.family,
        "validation": one.validation,
        "p": np.nan,
    }
    if not one.reason:
        record |= summary(one.recall_at(k))._asdict()
        for name, values in (("recall", one.recall), ("ndcg", one.ndcg)):
            for length, column in values.items():
                record |= _with_bounds(f"{name}@{length}", summary(column))
        test = paired(one.recall_at(k), leader.recall_at(k))
        record |= _with_bounds("difference", test)
        record |= {"effect": test.effect, "p": np.nan if one is leader else test.p}
    return record | {
        "seconds": one.seconds,
        "parameters": one.parameters,
        "dimension": " + ".join(map(str, one.dimensions)) or NOTHING,  # "64 + 64" for lists
        "seeds": one.seeds,
        "trials": one.trials,
        "chosen": "; ".join(one.chosen),
        "reason": one.reason,
    }


def _with_bounds(name: str, estimate: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate[:3], strict=True))


def accuracy_html(table: pd.DataFrame, ks: Sequence[int]) -> str:
    """Return an HTML table of seeds, validation, recall and NDCG, or why a method was not run."""
    shown = pd.DataFrame({"seeds": table["seeds"], "validation": table["validation"].map(_number)})
    for title, name in (("Recall", "recall"), ("NDCG", "ndcg")):
        for k in ks:
            shown[f"{title}@{k}"] = _intervals(table, f"{name}@{k}")
    missing = table["reason"] != ""
    shown.loc[missing, "validation"] = "not run: " + table.loc[missing, "reason"]
    return _html(shown, table)


def costs_html(table: pd.DataFrame, k: int) -> str:
    """Return an HTML table of each method's difference from the leader, its test, and its cost."""
    shown = pd.DataFrame({f"Δ Recall@{k}": _intervals(table, "difference", "+")})
    shown["d_z"] = [_number(x, ".2f") for x in table["effect"]]
    shown["p (Holm)"] = [_number(x) for x in table["p_holm"]]
    for name in ("seconds", "parameters"):
        shown[name] = [_number(x, ",.0f") for x in table[name]]
    shown["dimension"] = table["dimension"]
    shown["trials"] = table["trials"].map(str)
    return _html(shown, table)


def choices_html(table: pd.DataFrame) -> str:
    """Return an HTML table of what validation chose in each method, seed by seed."""
    rows = table[table["chosen"] != ""]
    shown = pd.DataFrame({"chosen, seed by seed": rows["chosen"].str.replace("; ", "<br>")})
    return _html(shown, rows)


def _html(shown: pd.DataFrame, table: pd.DataFrame) -> str:
    shown.index = pd.MultiIndex.from_frame(table[["family", "what"]], names=["", ""])
    return str(shown.to_html(escape=False, sparsify=True))


def _intervals(table: pd.DataFrame, name: str, sign: str = "") -> list[str]:
    columns = (table[name], table[f"{name}_low"], table[f"{name}_high"])
    return [
        NOTHING
        if np.isnan(mean)
        else f"{mean:{sign}.4f}<br><small>[{low:{sign}.3f}, {high:{sign}.3f}]</small>"
        for mean, low, high in zip(*columns, strict=True)
    ]


def _number(value: float, form: str = ".4f") -> str:
    return NOTHING if np.isnan(value) else f"{value:{form}}"
