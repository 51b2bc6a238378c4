"""The fusion chapter's comparison: rows scored, chosen on validation, and judged.

Whoever is compared is in ``studies.ch08_rows``; here every row becomes a validation score to
choose by, and per-user test values to report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from lib import cache, views
from lib.core import InputError
from lib.diagnostics import best_of_union
from lib.encoders import text, training
from lib.metrics import Floats, ndcg, recall
from lib.stats import Estimate, relative_gain
from lib.views import View
from studies.ch08_bench import Bench, Made, Row, Source, TooLargeError
from studies.ch08_rows import ALIGNMENT, BOTH, FAMILIES, FUSION, LIGHTGCN, NULL, SINGLE, TEXT
from studies.context import Run

WIDEST = 128
"""The width up to which vectors, and views whose lists are fused, compete in F8."""

SEEDED = (TEXT, LIGHTGCN, Source("joint"))
"""What has every training seed, as all that is solved in closed form has."""

LEARNED = {"svd": ("users", "items"), "ease": ("items",), "l3ae": ("items",)}
"""Which sides of a view in closed form are solved for; the others count, average or draw."""


@dataclass(frozen=True)
class Scored:
    """A row with its validation score and its per-user test values, averaged over seeds.

    ``recall`` and ``ndcg`` have n_users values for each length of list, NaN where a user has no
    test item. ``seconds`` of training (NaN where nothing is trained) and ``parameters`` are means
    over seeds, of all views that the row rests on. A row that was not run has a ``reason``, and
    neither widths nor values.
    """

    row: Row
    seeds: int
    validation: float = np.nan
    recall: dict[int, Floats] | None = None
    ndcg: dict[int, Floats] | None = None
    widths: tuple[int, ...] = ()
    seconds: float = np.nan
    parameters: float = np.nan
    trials: int = 0
    chosen: tuple[str, ...] = ()
    reason: str = ""

    def at(self, k: int) -> Floats:
        """Return per-user recall at ``k`` (n_users).

        Raises
        ------
        InputError
            The row was not run.
        """
        if self.recall is None:
            raise InputError(f"row {self.row.name!r} has no recall: {self.reason}")
        return self.recall[k]


def check_epochs(epochs: int) -> None:
    """Refuse a limit of epochs that trains nothing or for ever.

    Raises
    ------
    InputError
        It is not from 1 to 1,000.
    """
    if not 1 <= epochs <= 1000:
        raise InputError(f"epochs = {epochs} was given; give 1 to 1000, usually 200")


def lengths(run: Run) -> list[int]:
    """Return the list lengths of the tables: 10, 20 and the run's own."""
    return sorted({k for k in (10, 20, run.k) if k <= run.dataset.n_items})


def score(
    run: Run, rows: Sequence[Row], *, epochs: int, others: Sequence[int] | None = None
) -> list[Scored]:
    """Score rows on their seeds: validation Recall@20 to choose by, test values to report.

    Parameters
    ----------
    run
        Dataset, length of lists, encoder, device.
    rows
        Who is scored.
    epochs
        At most so many for every training.
    others
        The seeds of rows that rest on more than the two views, their joint fusion and what is
        solved in closed form; the run's own by default.

    Raises
    ------
    InputError
        As the models that the rows rest on; a row too large for the dataset is not run instead.
    """
    found: dict[str, list[dict[str, Any]]] = {row.name: [] for row in rows}
    reasons: dict[str, str] = {}
    of_others = run.seeds if others is None else others
    turns = {
        seed: [row for row in rows if seed in of_others or _settled(row)] for seed in run.seeds
    }
    with tqdm(total=sum(map(len, turns.values())), desc="rows", unit="row", disable=None) as bar:
        for seed, of in turns.items():
            bench = Bench(run, seed, epochs=epochs)
            for row in of:
                try:
                    found[row.name].append(_measured(bench, row))
                except TooLargeError as fault:
                    reasons[row.name] = str(fault)
                bar.update()
    return [
        Scored(row, 0, reason=reasons[row.name])
        if row.name in reasons
        else _averaged(row, found[row.name])
        for row in rows
    ]


def _settled(row: Row) -> bool:
    """Return whether a row is scored on every seed, however few the others have."""
    models = [source._replace(other=False) for source in row.sources]
    return all(source in SEEDED or source.model in views.SOLVED for source in models)


def _measured(bench: Bench, row: Row) -> dict[str, Any]:
    """Return one seed's values of a row; what its lists score is read from the store if there."""
    able = [source for source in row.sources if not bench.too_large(source)]
    kept = cache.cached("fusion", _key(bench, row, able), lambda: _scores(bench, row))
    ks = lengths(bench.run)
    info = [(source.model, bench.view(source)) for source in able]
    seconds = [view.info["seconds"] for _, view in info if "seconds" in view.info]
    return {
        "validation": kept["validation"],
        "recall": dict(zip(ks, kept["recall"], strict=True)),
        "ndcg": dict(zip(ks, kept["ndcg"], strict=True)),
        "widths": tuple(kept["widths"]),
        "seconds": sum(seconds) if seconds else np.nan,
        "parameters": sum(_parameters(model, view) for model, view in info),
        "trials": kept["trials"],
        "chosen": kept["chosen"],
    }


def _key(bench: Bench, row: Row, able: Sequence[Source]) -> dict[str, Any]:
    """Return all that decides ``_scores``."""
    dataset = bench.dataset
    maker = getattr(row.make, "func", row.make)  # a partial's source is its function's
    return {
        "dataset": dataset.name,
        "data": dataset.digest,
        "row": row.name,
        "seed": bench.seed,
        "lengths": lengths(bench.run),
        "text": text.digest_of(dataset, bench.run.parameters["encoder"]),
        "views": [[str(source), bench.digest(source)] for source in able],
        "maker": cache.code_version(maker),
        "code": cache.code_version(_scores, training),
    }


def _scores(bench: Bench, row: Row) -> cache.Value:
    """Return what a seed's lists of a row score; recall and nDCG are lengths × n_users."""
    made: Made = row.make(bench)
    dataset, ks = bench.dataset, lengths(bench.run)
    valid = made.lists("valid", min(20, dataset.n_items))
    test = made.lists("test", max(ks))  # a shorter list is the start of a longer one
    return {
        "validation": float(np.nanmean(recall(valid, dataset.valid))),
        "recall": np.stack([recall(test[:, :k], dataset.test) for k in ks]),
        "ndcg": np.stack([ndcg(test[:, :k], dataset.test) for k in ks]),
        "widths": list(made.widths),
        "trials": made.trials,
        "chosen": made.chosen,
    }


def _parameters(model: str, view: View) -> int:
    """Return how many numbers were fitted: those that were trained, or solved for."""
    if "n_parameters" in view.info:
        return int(view.info["n_parameters"])
    return sum(int(getattr(view, side).numel()) for side in LEARNED.get(model, ()))


def _averaged(row: Row, seeds: list[dict[str, Any]]) -> Scored:
    def mean(name: str) -> float:
        return float(np.mean([one[name] for one in seeds]))

    def by_length(name: str) -> dict[int, Floats]:
        return {k: np.mean([one[name][k] for one in seeds], axis=0) for k in seeds[0][name]}

    return Scored(
        row,
        len(seeds),
        validation=mean("validation"),
        recall=by_length("recall"),
        ndcg=by_length("ndcg"),
        widths=max(one["widths"] for one in seeds),  # SVD's width is chosen for each seed
        seconds=mean("seconds"),
        parameters=mean("parameters"),
        trials=seeds[0]["trials"],
        chosen=tuple(one["chosen"] for one in seeds if one["chosen"]),
    )


def bound(run: Run, *, epochs: int) -> Floats:
    """Return per-user recall of the best K items of the union of the two views' lists (n_users).

    What no fusion of the two lists can pass, averaged over seeds: it looks at the test items.
    """
    found = []
    for seed in run.seeds:
        bench = Bench(run, seed, epochs=epochs)
        lists = [bench.ranked(source, "test").items[:, : run.k].numpy() for source in BOTH]
        found.append(best_of_union(lists, run.dataset.test, run.k))
    return np.asarray(np.mean(found, axis=0))


def best(scored: Sequence[Scored], *families: str, widest: float = np.inf) -> Scored:
    """Return the row of the best validation score, of all families or of those given.

    ``widest`` is the largest width of its vectors, or of any view whose list it fuses.

    Raises
    ------
    InputError
        There is no such row.
    """
    able = [
        one
        for one in scored
        if not one.reason and one.row.family in (families or FAMILIES) and max(one.widths) <= widest
    ]
    if not able:
        raise InputError(
            f"no row of {', '.join(families) or 'any family'} is at most {widest:g} wide; give "
            "rows that were run"
        )
    return max(able, key=lambda one: one.validation)


def chosen(scored: Sequence[Scored]) -> dict[str, Scored]:
    """Return the rows that F8 compares, all but the last chosen on validation.

    ``fusion``, ``alignment`` and ``single`` are the best of their family among rows whose vectors
    are at most ``WIDEST`` wide, or that fuse lists of such views; ``seeds`` is the ensemble of two
    LightGCN seeds whose total width is nearest to the fusion's.
    """
    fused = best(scored, FUSION, widest=WIDEST)
    ensembles = [one for one in scored if one.row.family == NULL and len(one.row.sources) > 1]
    total = sum(fused.widths)
    return {
        "fusion": fused,
        "alignment": best(scored, ALIGNMENT, widest=WIDEST),
        "single": best(scored, SINGLE, widest=WIDEST),
        "seeds": min(ensembles, key=lambda one: abs(sum(one.widths) - total)),
    }


def measures(picked: dict[str, Scored], k: int) -> dict[str, Estimate]:
    """Return F8's measures from what ``chosen`` gives."""
    fused = picked["fusion"].at(k)
    over = {"advantage": "alignment", "single": "single", "seeds": "seeds"}
    return {name: relative_gain(fused, picked[other].at(k)) for name, other in over.items()}


def who_leads(scored: Sequence[Scored], k: int) -> str:
    """Say whether our best fusion, of any width and number of views, leads on the test items.

    The fusion is chosen on validation; it is compared with the row, of any family, that has the
    best test recall, or, where it is that row, with the one after it.
    """
    ran = [one for one in scored if not one.reason]
    ours = best(ran, FUSION)
    order = sorted(ran, key=lambda one: -float(np.nanmean(one.at(k))))
    leads = order[0] is ours
    other = order[1] if leads else order[0]
    ahead, behind = (ours, other) if leads else (other, ours)
    gain = relative_gain(ahead.at(k), behind.at(k))
    means = [float(np.nanmean(one.at(k))) for one in (ours, other)]
    sure = gain.low > 0
    head = (
        f"Our best fusion by validation, of any width and any number of views, is "
        f"**{ours.row.name}**, with a test Recall@{k} of {means[0]:.4f}. "
    )
    by = f"{gain.mean:+.1%} [{gain.low:+.1%}, {gain.high:+.1%}]"
    name = f"**{other.row.name}** ({other.row.family}, {means[1]:.4f})"
    if leads:
        said = f"It leads the whole table; the next row, {name}, is behind it by {by}"
        end = (
            "an interval above 0." if sure else "an interval that holds 0: the lead may be chance."
        )
    else:
        place = next(i for i, one in enumerate(order, 1) if one is ours)
        said = (
            f"It does **not** lead the table: it is in place {place} of {len(order)}, and the "
            f"leader, {name}, is ahead of it by {by}"
        )
        end = (
            "an interval above 0."
            if sure
            else "an interval that holds 0: the test items do not tell the two apart."
        )
    made = (
        f" What validation chose for it, seed by seed: {'; '.join(ours.chosen)} (`linear` and "
        "`text-mean` are the views of text)."
        if ours.chosen
        else ""
    )
    return f"{head}{said}, {end}{made}"
