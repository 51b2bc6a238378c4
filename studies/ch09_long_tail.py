"""Where fusion gains: on cold, medium and hot items."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from lib import metrics
from lib.core import Lists
from lib.diagnostics import best_of_union
from lib.stats import summary
from lib.views import View
from studies import measures
from studies.concatenation import best_concat, even_concat
from studies.context import Run
from studies.measures import Rankings

Concat = Callable[[Sequence[View]], View]
CONTROL = "two seeds over the collaborative view"


def fused(run: Run, concat: Concat, *views: Sequence[View]) -> list[Lists]:
    """Return the lists of views side by side, one array a seed, as ``views`` have one a seed."""
    return [run.lists_of(concat(of_seed)) for of_seed in zip(*views, strict=True)]


def weighted(run: Run) -> Concat:
    """Return how views are set side by side with the weights of best validation recall."""
    return partial(best_concat, run.dataset)


def beside_lightgcn(run: Run, semantic: Run, concat: Concat, **nulls: Sequence[Lists]) -> Rankings:
    """Return the lists of another run's text, this run's LightGCN, and their ``weighted`` fusion.

    The control is two LightGCN seeds, which ``concat`` sets side by side.
    """
    text, lightgcn = semantic.views("linear"), run.views("lightgcn")
    second = run.views("lightgcn", second=True)
    return replace(
        measures.rankings(run),
        semantic=semantic.lists_by_seed("linear"),
        nulls=nulls,
        fused=fused(run, weighted(run), text, lightgcn),
        control=run.once(("control", concat), lambda: fused(run, concat, lightgcn, second)),
    )


def rankings(run: Run) -> tuple[Rankings, list[Lists], list[float]]:
    """Return what F9 is measured on, the lists of equal weights, and the text's chosen weights."""
    found = beside_lightgcn(run, run, even_concat, popularity=[run.lists("popularity", 0)])
    views, concat = (run.views("linear"), run.views("lightgcn")), weighted(run)
    weights = [concat(of_seed).info["weights"][0] for of_seed in zip(*views, strict=True)]
    return found, fused(run, even_concat, *views), weights


def gains(found: Rankings) -> pd.DataFrame:
    """Return the gains that are compared: what, level (stratum of the items) and an estimate."""
    ways = {
        "fusion over the collaborative view": (found, ""),
        "fusion over the text": (found, "_text"),
        "fusion over two seeds": (found, "_seeds"),
        CONTROL: (replace(found, fused=found.control), ""),
    }
    rows = []
    for what, (lists, suffix) in ways.items():
        of = measures.tail_gain(lists)
        some = measures.estimates({name: of[f"{name}{suffix}"] for name in metrics.ITEM_STRATA})
        rows += [{"what": what, "level": n, **value._asdict()} for n, value in some.items()]
    return pd.DataFrame(rows)


def recalls(found: Rankings, even: Sequence[Lists]) -> pd.DataFrame:
    """Return recall by what ranks and stratum of the items: what, level and an estimate.

    The oracle knows the test items and picks the best K of both views' lists.
    """
    lists = {
        "semantic": found.semantic,
        "collaborative": found.collaborative,
        "fusion": found.fused,
        "fusion, equal weights": even,
        "two seeds": found.control,
        **found.nulls,
    }
    rows = []
    for level, name in enumerate(("all", *metrics.ITEM_STRATA), -1):
        chosen = (found.strata == level) | (level < 0)
        inside = replace(found, relevant=metrics.restricted(found.relevant, chosen))
        values = {what: inside.recalls(of) for what, of in lists.items()}
        k = found.fused[0].shape[1]
        best = [best_of_union(pair, inside.relevant, k) for pair in found.pairs]
        values["oracle, best K"] = np.stack(best)
        rows += [{"what": n, "level": name, **summary(of)._asdict()} for n, of in values.items()]
    return pd.DataFrame(rows)
