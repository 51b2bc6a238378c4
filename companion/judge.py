"""Anyone's lists, judged like ours: runs and qrels of TREC in, a page and a table out.

The first run is to the second what the semantic view is to the collaborative one in chapters 03 to
05. A third run is the other model of the rules; second runs of the first two are their nulls. All
measures are of the users in the qrels, and every run must have a list for each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from companion import testable
from companion.data import trec
from companion.markup import markup
from companion.rules import why
from lib import claims
from lib.core import InputError, Lists, whole_number
from lib.diagnostics import complementary, composition, cut_to_union, jaccard, oracle
from lib.metrics import ndcg, recall
from lib.stats import Estimate, of_totals, ratio, relative_gain, summary

FINDINGS = ("F2", "F3", "F5")
_NONE = Estimate(np.nan, np.nan, np.nan, 0)


def judge(
    qrels: Path, runs: Sequence[Path], k: int, nulls: tuple[Path | None, Path | None] = (None, None)
) -> tuple[pd.DataFrame, str]:
    """Return every measure of runs with its interval, and the verdicts, as a table and as HTML.

    ``nulls`` are a second run of the first and one of the second system, where there are such.
    """
    whole_number("k", k)
    names = [str(path) for path in (*runs, *filter(None, nulls))]
    if len(runs) < 2 or len({Path(name).resolve() for name in names}) < len(names):
        raise InputError(f"the runs {', '.join(names)} were given; give at least two, each once")
    lists, relevant = _arrays(qrels, names, k)
    short = {name: one[:, :k] for name, one in lists.items()}
    recalls = {name: recall(one, relevant) for name, one in short.items()}
    pairs: dict[frozenset[str | None], dict[str, Estimate]] = {
        frozenset((a, b)): _of_pair(short[a], short[b], relevant) for a, b in combinations(short, 2)
    }
    rows: list[tuple[Any, ...]] = []
    for name, one in short.items():
        rows.append((name, f"recall@{k}", *summary(recalls[name]), ""))
        rows.append((name, f"NDCG@{k}", *summary(ndcg(one, relevant)), ""))
    for pair, measures in zip(combinations(short, 2), pairs.values(), strict=True):
        rows += [(" and ".join(pair), name, *value, "") for name, value in measures.items()]
    first, second = names[:2]
    better = max((first, second), key=lambda name: np.nanmean(recalls[name]))
    twin = {name: str(null) if null else None for name, null in zip(names, nulls, strict=False)}
    told = []
    for finding in FINDINGS:
        claim = claims.load()[finding]
        leader = better if finding == "F5" else second
        beside = {claim.headline: (first, second), "seeds": (leader, twin[leader])}
        beside |= {"other": (second, names[2])} if len(runs) > 2 else {}
        found = {name: pairs.get(frozenset(of), {}) for name, of in beside.items()}
        values = {name: of[claim.headline] for name, of in found.items() if of}
        if null := twin[second]:
            values |= _excess(finding, short[first], short[null], short[second], relevant)
        if finding == "F5" and (lists[better][:, k:] >= 0).any():
            both = [short[first], short[second]]
            longer = recall(cut_to_union(lists[better], both), relevant)
            values["longer"] = relative_gain(longer, recalls[better])
            values["over_longer"] = relative_gain(oracle(both, relevant), longer)
        verdict = claims.judge(finding, {name: values.get(name, _NONE) for name in claim.measures})
        if relevant.shape[0] < testable.LEAST:
            reason = testable.few("users in the qrels", relevant.shape[0])
            verdict = replace(verdict, word=claims.UNTESTABLE, unmet=(), note=reason)
        for name, value in verdict.measures.items():
            rows.append((f"{finding}: {claim.measures[name]}", name, *value, verdict.word))
        told.append((f"{finding}: {claim.finding}", verdict.word, why(verdict)))
    table = pd.DataFrame(rows, columns=["about", "measure", *Estimate._fields, "verdict"])
    shown = table.to_html(index=False, float_format="{:.4f}".format, border=0, na_rep="–")
    return table, markup("judged", names, k, told, shown)


def _of_pair(a: Lists, b: Lists, relevant: sp.csr_matrix) -> dict[str, Estimate]:
    """Return the measures of two lists: overlap, whose the hits are, and gain of the union."""
    found = composition(a, b, relevant)
    hits = found[["both", "a_only", "b_only"]].sum(axis=1)
    shares = {"both": "hits of both", "a_only": "hits of the first", "b_only": "hits of the second"}
    single = max((recall(one, relevant) for one in (a, b)), key=np.nanmean)
    return {
        "jaccard": summary(jaccard(a, b)),
        "complementary": ratio(*complementary(a, b, relevant)),
        "gain": relative_gain(oracle([a, b], relevant), single),
    } | {name: ratio(found[part], hits) for part, name in shares.items()}


def _excess(
    finding: str, a: Lists, null: Lists, b: Lists, relevant: sp.csr_matrix
) -> dict[str, Estimate]:
    """Return by how much ``a`` exceeds a second run of ``b`` (F3, F5); F2's null needs vectors."""
    if finding == "F5":
        return {"excess": relative_gain(*(oracle([one, b], relevant) for one in (a, null)))}
    if finding != "F3":
        return {}
    columns: list[pd.Series] = []
    for one in (a, null):
        found = composition(one, b, relevant)
        columns += [found["a_only"], found[["both", "a_only", "b_only"]].sum(axis=1)]
    share = of_totals(lambda own, all_, other, all_too: own / all_ - other / all_too, *columns)
    return {"excess": share}


def _arrays(qrels: Path, names: Sequence[str], k: int) -> tuple[dict[str, Lists], sp.csr_matrix]:
    """Return each run's lists (n_users × 2k at most) and the relevant items of the same users."""
    wanted = trec.read_qrels(Path(qrels))
    users = pd.Index(wanted["user"].unique())
    if users.empty:
        raise InputError(f"{qrels} has no pair with a relevance above 0: give the relevant items")
    tables = {}
    for name in names:
        run = trec.read_run(Path(name))
        if len(lacking := users.difference(run["user"], sort=False)):
            raise InputError(
                f"{name} has no list for {len(lacking)} of the {len(users)} users in {qrels}, such "
                f"as {lacking[0]!r}: give runs and qrels of one test, the same users in all"
            )
        tables[name] = run[run["user"].isin(users)]
    longest = max(int(run.groupby("user").size().max()) for run in tables.values())
    if k > longest:
        told = f"k = {k} was given, and the longest list of the runs has {longest} items"
        raise InputError(f"{told}: give a k of at most so many")
    depth = min(2 * k, longest)
    items = pd.Index(pd.concat([wanted, *tables.values()])["item"].unique())
    lists = {name: np.full((len(users), depth), -1) for name in tables}
    for name, table in tables.items():
        rank = table.groupby("user").cumcount()
        places = users.get_indexer(table["user"])[rank < depth], rank[rank < depth]
        lists[name][places] = items.get_indexer(table["item"])[rank < depth]
    pairs = users.get_indexer(wanted["user"]), items.get_indexer(wanted["item"])
    shape = len(users), len(items)
    return lists, sp.csr_matrix((np.ones(len(wanted)), pairs), shape=shape)
