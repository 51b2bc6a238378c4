"""The tables of the fusion chapter: tidy for download, and narrow enough to read on a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.stats import holm, paired, summary
from studies.ch08_fusion import Scored
from studies.ch08_rows import FAMILIES

NOTHING = "–"


def tidy(scored: Sequence[Scored], leader: Scored, k: int) -> pd.DataFrame:
    """Return all that is known of every row, by family and then by validation score.

    Columns what, family, validation; mean, low, high and n of Recall@k, for figures; for each
    length K recall@K and ndcg@K, each also with _low and _high; difference of Recall@k from the
    leader, with _low and _high, its effect (d_z), the randomisation p and p_holm, corrected over
    all rows but the leader; seconds, parameters, dimension, seeds, trials, chosen, reason. Rows
    that were not run have NaN for numbers and stand last in their family.
    """
    found = pd.DataFrame([_record(one, leader, k) for one in scored])
    order = found.assign(family=found["family"].map(FAMILIES.index))
    order = order.sort_values(["family", "validation"], ascending=[True, False], kind="stable")
    return found.assign(p_holm=holm(found["p"])).loc[order.index].reset_index(drop=True)


def _record(one: Scored, leader: Scored, k: int) -> dict[str, object]:
    record: dict[str, object] = {
        "what": one.row.name,
        "family": one.row.family,
        "validation": one.validation,
        "p": np.nan,
    }
    if not one.reason:
        record |= summary(one.at(k))._asdict()
        for name, values in (("recall", one.recall), ("ndcg", one.ndcg)):
            for length, column in (values or {}).items():
                record |= _with_bounds(f"{name}@{length}", summary(column))
        test = paired(one.at(k), leader.at(k))
        record |= _with_bounds("difference", (test.difference, test.low, test.high))
        record |= {"effect": test.effect, "p": np.nan if one is leader else test.p}
    return record | {
        "seconds": one.seconds,
        "parameters": one.parameters,
        "dimension": _widths(one.widths),
        "seeds": one.seeds,
        "trials": one.trials,
        "chosen": "; ".join(one.chosen),
        "reason": one.reason,
    }


def _with_bounds(name: str, estimate: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate[:3], strict=True))


def _widths(widths: tuple[int, ...]) -> str:
    """Return "128" for vectors and "64 + 64" for lists."""
    return " + ".join(map(str, widths)) or NOTHING


def accuracy(table: pd.DataFrame, ks: Sequence[int]) -> str:
    """Return an HTML table of seeds, validation, recall and NDCG, intervals below means.

    A row that was not run says so, and why.
    """
    shown = pd.DataFrame({"seeds": table["seeds"], "validation": table["validation"].map(_number)})
    for title, name in (("Recall", "recall"), ("NDCG", "ndcg")):
        for k in ks:
            shown[f"{title}@{k}"] = _spread(table, f"{name}@{k}")
    missing = table["reason"] != ""
    shown.loc[missing, "validation"] = "not run: " + table.loc[missing, "reason"]
    return _page(shown, table)


def costs(table: pd.DataFrame, k: int) -> str:
    """Return an HTML table of each row's difference from the leader, its test, and its cost."""
    shown = pd.DataFrame({f"Δ Recall@{k}": _spread(table, "difference", signed=True)})
    shown["d_z"] = table["effect"].map(lambda x: _number(x, 2))
    shown["p (Holm)"] = table["p_holm"].map(_number)
    shown["seconds"] = table["seconds"].map(_count)
    shown["parameters"] = table["parameters"].map(_count)
    shown["width"] = table["dimension"]
    shown["trials"] = table["trials"].map(str)
    return _page(shown, table)


def choices(table: pd.DataFrame) -> str:
    """Return an HTML table of what validation chose in each row, seed by seed."""
    rows = table[table["chosen"] != ""]
    shown = pd.DataFrame({"chosen, seed by seed": rows["chosen"].str.replace("; ", "<br>")})
    return _page(shown, rows)


def _page(shown: pd.DataFrame, table: pd.DataFrame) -> str:
    shown.index = pd.MultiIndex.from_frame(table[["family", "what"]], names=["", ""])
    page: str = shown.to_html(escape=False, sparsify=True)
    return page


def _spread(table: pd.DataFrame, name: str, *, signed: bool = False) -> list[str]:
    columns = (table[name], table[f"{name}_low"], table[f"{name}_high"])
    return [_interval(*bounds, signed) for bounds in zip(*columns, strict=True)]


def _interval(mean: float, low: float, high: float, signed: bool) -> str:
    if np.isnan(mean):
        return NOTHING
    sign = "+" if signed else ""
    return f"{mean:{sign}.4f}<br><small>[{low:{sign}.3f}, {high:{sign}.3f}]</small>"


def _number(value: float, digits: int = 4) -> str:
    return NOTHING if np.isnan(value) else f"{value:.{digits}f}"


def _count(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{value:,.0f}"
