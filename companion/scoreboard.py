"""The scoreboard: the verdict records of executed chapters, over all datasets; fresh and published.

Functions that return HTML take ``link``, the address of a chapter's page seen from theirs.
"""

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from companion.execute import executed, in_order, records_of
from companion.markup import markup
from companion.rules import telling, why
from lib import claims
from lib.core import InputError
from lib.stats import Estimate, holm

RECORD = "application/vnd.companion.claim+json"
"""The type of the output by which an executed chapter carries a verdict."""

MARKS = {
    claims.HOLDS: ("tip", "✔", "#0072B2"),
    claims.PARTLY: ("warning", "↔", "#009E73"),
    claims.NOT_BEYOND: ("warning", "◐", "#E69F00"),
    claims.FAILS: ("danger", "✘", "#D55E00"),
    claims.UNDECIDED: ("note", "?", "#CC79A7"),
    claims.UNTESTABLE: ("note", "○", "#8A8A8A"),
    claims.NO_INSTRUMENT: ("note", "◇", "#56B4E9"),
}
"""A verdict's style of admonition, its sign and its colour."""

DEPENDS = "depends on the data"  # a claim whose verdict differs between datasets
SIMULATED = "simulated worlds"  # of which a claim is judged once, whatever the dataset
COLUMNS = [
    "claim", "dataset", "chapter", "verdict", "reason", "margin", "outside", "page", "p", "mean",
    "low", "high", "words", "beside", "beside_low", "beside_high", "words_beside", "telling",
    "measures", "recorded",
]  # fmt: skip

NULLS = {"F2", "F3", "F4", "F5", "F7b", "F12", "F13", "Q5"}
"""Claims whose ``beside`` is a null in the unit of the headline; others' is another quantity."""

OPENED = {
    claims.UNDECIDED: "open because of", claims.FAILS: "excluded by", claims.NOT_BEYOND: "control,",
}  # fmt: skip
"""How the index names the measure that decided."""

THRESHOLDS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("thresholds.yml").read_text(encoding="utf-8")
)

DRAWN, BESIDE = ["mean", "low", "high"], ["beside", "beside_low", "beside_high"]
COMPARED = [
    "dataset", "finding", "otherwise", "published verdict", "verdict now", "measure", "published",
    "now",
]  # fmt: skip
IGNORED = "device"  # may differ: results should not depend on where a chapter ran
OLDER = {"fields": "all"}  # what pages were made with before they had the parameter


def records(folders: Sequence[Path], order: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per claim and dataset from the executed notebooks under ``folders``.

    Claims are in the order of ``claims.yml``, datasets in ``order``, others after them by name. A
    later folder's record replaces an earlier one's. Measures are judged by the rules as they are
    now; ``outside`` says which rule of a claim's premise the dataset does not meet, ``margin``
    whether the excess over the claim's null missed its margin. ``p`` is that of the whole rule
    (``lib.claims.p_value``), NaN where there is none to test; ``holm`` is corrected for the
    ``tests`` of all rows, a simulation counting once; ``stands`` says whether that is below 0.05.
    """
    found = {key: pair for folder in folders for key, pair in records_in(folder).items()}
    rows = [
        _row(record, path, found.get((claims.load()[claim].premise, dataset), ({}, path))[0])
        for (claim, dataset), (record, path) in found.items()
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    table["dataset"] = pd.Categorical(table["dataset"], in_order(table["dataset"].unique(), order))
    table["claim"] = pd.Categorical(table["claim"], list(claims.load()))
    table = table.sort_values(["claim", "dataset"], ignore_index=True)
    once = ~(_simulated(table) & table.duplicated("claim"))
    table["tests"] = int(table.loc[once, "p"].notna().sum())
    table["holm"] = holm(table["p"].astype(float).where(once))
    table["holm"] = table.groupby("claim", observed=True)["holm"].ffill().where(table["p"].notna())
    table["stands"] = table["holm"] < 0.05
    return table


def records_in(folder: Path) -> dict[tuple[str, str], tuple[dict[str, Any], Path]]:
    """Return, by claim and dataset, each record under ``folder`` and its notebook."""
    return {
        (record["claim"], path.parent.name): (record, path)
        for part in sorted(folder.glob("*/"))
        for path in executed(part)
        for record in records_of(path, RECORD)
    }


def _simulated(found: pd.DataFrame) -> pd.Series:
    """Return which rows are of claims judged on worlds that are the same for every dataset."""
    return found["claim"].isin([c.id for c in claims.load().values() if c.family == "theory"])


def _row(record: dict[str, Any], path: Path, premise: dict[str, Any]) -> dict[str, Any]:
    claim = claims.load()[record["claim"]]
    names = (claim.headline, claim.beside)
    unknown = (math.nan,) * 4  # a measure that had another name when the page was made
    headline, beside = (_numbers(record).get(name, unknown)[:3] for name in names)
    verdict, p = _judged(record, claim)
    known = verdict.word != claims.UNTESTABLE
    outside = claims.outside(claim, _numbers(premise)) if known else ""
    return {
        **{name: record[name] for name in ("claim", "chapter")},
        **{"verdict": verdict.word, "reason": why(verdict), "outside": outside, "p": p},
        "margin": claim.instrument and verdict.unmet == (claim.beyond,),
        **dict(zip(("mean", "low", "high"), headline, strict=True)),
        **dict(zip(("beside", "beside_low", "beside_high"), beside, strict=True)),
        "words": headline_of(claim, _numbers(record)),
        "words_beside": _beside(claim, verdict),
        "telling": telling(verdict) if known else [],
        **{"measures": record["measures"], "recorded": record["verdict"]},
        "dataset": path.parent.name,
        "page": f"{path.parent.name}/{path.stem}",
    }


def number(claim: claims.Claim, name: str, value: Sequence[float]) -> str:
    """Return a measure and its interval in words, a relative gain in percent; "" for none."""
    if math.isnan(value[0]):
        return ""
    gain = re.search(r"\bgain|minus one", f"{claim.unit} {claim.measures[name]}")
    mean, low, high = (100 * x if gain else x for x in value[:3])
    digits = int(abs(mean) < 100) if gain else 3 - int(abs(mean) >= 1)
    start = f"{mean:+.{digits}f}\u00a0%" if gain else f"{mean:.{digits}f}"
    return f"{start} [{low:.{digits}f},\u00a0{high:.{digits}f}]".replace("-", "−")


def _beside(claim: claims.Claim, verdict: claims.Verdict) -> str:
    """Return what stands beside a headline in words: of a verdict that a control denies, that."""
    numbers = verdict.measures
    names = telling(verdict)[1:] if verdict.word == claims.NOT_BEYOND else [claim.beside]
    if names == [claim.beside]:
        return number(claim, claim.beside, numbers.get(claim.beside, (math.nan,) * 4))
    return "; ".join(_named(claim, name, numbers[name]) for name in names)


def _named(claim: claims.Claim, name: str, value: Sequence[float]) -> str:
    """Return a measure's description and its number."""
    return f"{claim.measures[name].removesuffix(', minus one')}: {number(claim, name, value)}"


def headline_of(claim: claims.Claim, measures: Mapping[str, Estimate]) -> str:
    """Return a claim's headline in words, and why where it is exactly 0."""
    value = measures.get(claim.headline, (math.nan,) * 4)
    words = number(claim, claim.headline, value)
    same = claim.id in ("Q2", "Q3", "Q4") and not any(value[:3])
    return f"{words}: validation gave the added view no weight" if same else words


def _judged(record: dict[str, Any], claim: claims.Claim) -> tuple[claims.Verdict, float]:
    """Return the verdict by the rule as it is now, and the rule's p (NaN: no test)."""
    numbers = _numbers(record)
    untestable = partial(claims.Verdict, claim, claims.UNTESTABLE, numbers)
    if record["verdict"] == claims.UNTESTABLE:
        return untestable(note=record["reason"]), math.nan
    if lacking := [words for name, words in claim.measures.items() if name not in numbers]:
        return untestable(note=f"executed before its rule, without {lacking[0]}"), math.nan
    numbers = {name: numbers[name] for name in claim.measures}
    rule = f"({claim.holds}) and ({claim.beyond})"
    p = claims.p_value(rule, numbers) if claim.beyond else math.nan
    return claims.judge(claim.id, numbers), p


def _numbers(record: dict[str, Any]) -> dict[str, Estimate]:
    """Return the measures of a record, none of no record."""
    return {
        name: Estimate._make(math.nan if x is None else x for x in value)
        for name, value in record.get("measures", {}).items()
    }


def table(found: pd.DataFrame, link: str = "{page}.html") -> str:
    """Return the scoreboard as HTML: a row per claim, a column per dataset, words and colours."""
    datasets = list(found["dataset"].cat.categories)
    rows = {(row["claim"], row["dataset"]): row for row in found.to_dict("records")}
    return markup("table", claims.load().values(), datasets, rows, MARKS, NULLS, link)


def questions(found: pd.DataFrame) -> str:
    """Return the records and rules with which ``scoreboard.js`` lets a reader question a table."""
    fields = ["claim", "dataset", "recorded", "measures", "verdict"]
    rule = ["family", "premise", "measures", "holds", "beyond", "instrument", "able", "partly"]
    return markup("questions", {
        "thresholds": THRESHOLDS,
        "marks": {word: mark[1:] for word, mark in MARKS.items()},
        "claims": {c.id: {name: getattr(c, name) for name in rule} for c in claims.load().values()},
        "records": found[fields].to_dict("records"),
    })  # fmt: skip


def sentences(found: pd.DataFrame, verdict: str) -> str:
    """Return the claims with one verdict on every dataset as an HTML list, to be quoted.

    Each has the finding, and for every dataset the verdict, the numbers, and what decided.
    ``verdict`` is one of the words, or ``DEPENDS`` for claims with several verdicts.
    """
    groups = found.groupby("claim", observed=True)
    words = groups["verdict"].agg(lambda v: v.iloc[0] if v.nunique() == 1 else DEPENDS)
    named = [name for name, word in words.items() if word == verdict]
    rows = [(claims.load()[name], groups.get_group(name).to_dict("records")) for name in named]
    return markup("sentences", rows, NULLS)


def opening(found: pd.DataFrame, k: int) -> str:
    """Return as HTML what a chapter's page opens with: each of its verdicts in a sentence.

    A sentence has the finding, the numbers that tell the verdict, and a link to the rule. ``k`` is
    the length of the chapter's lists.
    """
    rows = []
    for row in found.to_dict("records"):
        claim, numbers = claims.load()[row["claim"]], _numbers(row)
        what = claim.measures | {claim.headline: claim.unit}
        known = [(what[n], of) for n in row["telling"] if (of := number(claim, n, numbers[n]))]
        known = [(known[0][0], headline_of(claim, numbers)), *known[1:]] if known else []
        told = [f"{words.replace(', minus one', '')}: {of}" for words, of in known]
        rows.append((row, claim, [re.sub(r"@K\b", f"@{k}", words) for words in told]))
    return markup("opening", rows, MARKS)


def answers(found: pd.DataFrame, ids: Sequence[str], link: str = "{page}.html") -> str:
    """Return what became of some claims as an HTML list, after on which datasets F1's rule is met.

    It says which measure decides where the headline does not, and the gains that A4 and T1 are of.
    """
    met = found["verdict"].isin([claims.HOLDS, claims.NOT_BEYOND])
    ratios = found[(found["claim"] == "F1") & met]
    alike = dict(zip(ratios["dataset"], ratios["words"], strict=True))
    judged = found[found["verdict"] != claims.UNTESTABLE].to_dict("records")
    rows = []
    for claim in map(claims.load().get, ids):
        assert claim
        of = [row for row in judged if row["claim"] == claim.id]
        for row in of:
            numbers = _numbers(row)
            names = row["telling"][1:] if row["verdict"] in OPENED else []
            names = [claim.beside] if claim.id in ("A4", "T1") else names
            start = OPENED.get(row["verdict"], "beside it,")
            row["also"] = [f"{start} {_named(claim, name, numbers[name])}" for name in names]
        rows.append((claim, sorted(of, key=lambda row: row["dataset"] not in alike)))
    return markup("answers", alike, [row for row in rows if row[1]], MARKS, link)


def forest(found: pd.DataFrame) -> pd.DataFrame:
    """Return what ``figures.intervals`` draws: a row per claim with a number, its nulls below it.

    A panel has one unit: relative gains, those above 1 apart, or what has no unit.
    """
    known = found[found.groupby("claim", observed=True)["mean"].transform("count") > 0]
    gains = known["words"].str.contains("%").groupby(known["claim"], observed=True).transform("any")
    large = known["high"].groupby(known["claim"], observed=True).transform("max") > 1
    units = ("ratio, share, Jaccard index or difference (no unit)",
             "relative gain or loss (0.1 = 10 %)", "relative gain, large (1 = 100 %)")  # fmt: skip
    rows = known.assign(
        what=[f"{name} {claims.load()[name].finding}" for name in known["claim"]],
        panel=[units[gain and 1 + big] for gain, big in zip(gains, large, strict=True)],
        group=known["dataset"].astype(str),
    )
    nulls = rows[rows["claim"].isin(NULLS)].assign(group="null, " + rows["group"])
    nulls = nulls.assign(**{x: rows[y] for x, y in zip(DRAWN, BESIDE, strict=True)})
    both = pd.concat([rows, nulls]).sort_index(kind="stable")
    return both.sort_values("panel", key=lambda of: of.map(units.index), kind="stable")


def tally(found: pd.DataFrame) -> str:
    """Return how many claims got which verdict on each dataset, as an HTML table."""
    counted = counts(found)
    return markup("tally", counted.loc[:, counted.any()], MARKS, claims.load())


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Return how many claims got which verdict on each dataset, those of simulations once."""
    dataset = found["dataset"].cat.add_categories(SIMULATED).mask(_simulated(found), SIMULATED)
    once = found.assign(dataset=dataset).drop_duplicates(["claim", "dataset"])
    counted = pd.crosstab(once["dataset"], once["verdict"])
    return counted.reindex(columns=list(claims.VERDICTS), fill_value=0)


def compare(published: Path, fresh: Path, datasets: Sequence[str] = ()) -> pd.DataFrame:
    """Return a row per finding judged in both folders.

    A row has both verdicts and the measure that differs most: ``apart`` is the difference divided
    by half the width of the published interval, so up to 1 the new value lies inside it.
    ``otherwise`` says with which other parameters the finding was judged, "" for the same.
    ``published`` and ``fresh`` hold a folder of executed chapters per dataset; ``datasets`` names
    some of them, by default all that both have.
    """
    old, new = records_in(published), records_in(fresh)
    rows = []
    for claim, dataset in [key for key in old if key in new]:
        if datasets and dataset not in datasets:
            continue
        (before, _), (now, _) = old[claim, dataset], new[claim, dataset]
        otherwise = _changes(OLDER | before["parameters"], OLDER | now["parameters"])
        about = (dataset, claim, otherwise, before["verdict"], now["verdict"])
        for name in [name for name in before["measures"] if name in now["measures"]]:
            ours, (mean, low, high, _) = now["measures"][name], before["measures"][name]
            rows.append((*about, name, mean, ours[0], low, high))
    if not rows:
        raise InputError(
            f"no finding is judged both under {published} and under {fresh}"
            f"{' for ' + ', '.join(datasets) if datasets else ''}: execute chapters of a published "
            "dataset first, such as make chapters"
        )
    table = pd.DataFrame(rows, columns=[*COMPARED, "low", "high"])
    was, now, low, high = (table[x].astype(float) for x in ("published", "now", "low", "high"))
    apart = (2 * (now - was).abs() / (high - low)).fillna(math.inf)
    table["apart"] = apart.mask((was == now) | (was.isna() & now.isna()), 0.0)
    furthest = table.groupby(["dataset", "finding"], sort=False)["apart"].idxmax()
    return table.loc[furthest, [*COMPARED, "apart"]].reset_index(drop=True)


def _changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {old.get(name)} and now {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if name != IGNORED and old.get(name) != new.get(name)
    )


def in_a_sentence(compared: pd.DataFrame) -> str:
    """Return how far a table of ``compare`` agrees, in a sentence."""
    same = compared["published verdict"] == compared["verdict now"]
    return (
        f"{same.sum()} of {len(compared)} findings have the published verdict; in "
        f"{(compared['apart'] <= 1).sum()} no measure lies outside its published interval, and in "
        f"{(compared['apart'] == 0).sum()} all are equal."
    )
