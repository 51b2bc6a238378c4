"""Laws of honest evaluation, held by every model on a little world."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from companion.data import synthetic
from lib import diagnostics, metrics, views
from lib.core import generator
from lib.dataset import Dataset
from lib.encoders import text
from lib.metrics import recall
from trust.figures import Figure

QUICK = {"epochs": 3, "dimension": 8, "batch": 256}
SEEDS = 5  # exchanges of test items, and seeds of what is random
Law = Callable[[Dataset], tuple[int, int, str]]


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per law."""
    with tempfile.TemporaryDirectory(prefix="trust-") as cache:
        os.environ["COMPANION_CACHE"] = cache
        small = synthetic.world(n_users=60, n_items=40, seed=3).dataset
        for name, law in LAWS.items():
            tried, right, found = law(small)
            yield Figure(name, int(tried), int(right), found)


def quick(dataset: Dataset, model: str, seed: int = 0) -> views.View:
    """Return a view of a model after a few epochs."""
    settings: dict[str, Any] = QUICK if model in views.TRAINED else {}
    return views.fit(dataset, model, seed=seed, device="cpu", **settings)


def with_other_test(dataset: Dataset, seed: int) -> Dataset:
    """Return the dataset with its users' test items exchanged: the canary."""
    order = generator(seed, "canary").permutation(dataset.n_users)
    return replace(dataset, test=dataset.test[order])


def canary(small: Dataset) -> tuple[int, int, str]:
    """Exchange the test items: vectors, text, strata and validation lists stay, to the byte."""
    tried = right = 0
    for seed in range(SEEDS):
        other = with_other_test(small, seed)
        for model in views.models():
            tried += 1
            right += before(small, model) == before(other, model)
    return tried, right, f"{len(views.models())} models, {SEEDS} exchanges"


def before(dataset: Dataset, model: str) -> tuple[bytes, ...]:
    """Return all that a model makes of a dataset before evaluation."""
    view = quick(dataset, model)
    valid = views.lists(view, dataset, 20, part="valid")
    classes = metrics.by_count(dataset.train.getnnz(axis=0))
    vectors = text.encode(dataset, "minilm")
    parts = (view.users.numpy(), view.items.numpy(), valid, classes, vectors.numpy())
    chosen = str([view.info.get("validation"), view.info.get("history")]).encode()
    return (*(part.tobytes() for part in parts), chosen)


def disjoint(small: Dataset) -> tuple[int, int, str]:
    """See that training, validation and test share no pair, over worlds and seeds of the split."""
    tried = right = 0
    for seed in range(20):
        one = synthetic.world(n_users=60, n_items=40, seed=seed % 4, split_seed=seed).dataset
        parts = (one.train, one.valid, one.test)
        together = sum(part != 0 for part in parts)
        whole = synthetic.world(n_users=60, n_items=40, seed=seed % 4).dataset
        same = (whole.train + whole.valid + whole.test) != 0
        tried += 1
        right += together.max() == 1 and together.nnz == sum(p.nnz for p in parts) == same.nnz
    return tried, right, ""


def masked(small: Dataset) -> tuple[int, int, str]:
    """See that no list holds a masked item, and that every other item is held, once."""
    tried = right = 0
    for model in views.models():
        view = quick(small, model)
        for part, gone in (("test", small.seen), ("valid", small.train)):
            found = views.lists(view, small, small.n_items, part=part)  # type: ignore[arg-type]
            held = np.zeros(gone.shape, dtype=int)
            users, places = np.nonzero(found >= 0)
            np.add.at(held, (users, found[users, places]), 1)
            tried += 1
            right += bool((held == (gone.toarray() == 0)).all())
    return tried, right, "whole lists, test and validation"


def planted(small: Dataset) -> tuple[int, int, str]:
    """See that a view made of the test items has a recall of 1."""
    right = 0
    for seed in range(SEEDS):
        world = synthetic.world(n_users=60, n_items=40, seed=seed).dataset
        wanted = torch.from_numpy(world.test.toarray())
        perfect = views.View(wanted, torch.eye(world.n_items), {})
        most = int(world.test.getnnz(axis=1).max())
        right += np.nanmin(recall(views.lists(perfect, world, most), world.test)) == 1
    return SEEDS, right, ""


def chance(small: Dataset) -> tuple[int, int, str]:
    """Hold the mean recall of random views against k over the number of items left to choose."""
    k, draws = 10, 40
    able = small.test.getnnz(axis=1) > 0
    expected = k / (small.n_items - small.seen.getnnz(axis=1))[able]
    means = [
        np.nanmean(recall(views.lists(quick(small, "random", seed), small, k), small.test))
        for seed in range(draws)
    ]
    error = np.std(means, ddof=1) / np.sqrt(draws)
    far = abs(np.mean(means) - expected.mean()) / error
    return 1, int(far < 3), f"{np.mean(means):.4f} against {expected.mean():.4f}, {far:.1f} errors"


def popular(small: Dataset) -> tuple[int, int, str]:
    """Hold popularity's lists against sorting the counts of training items."""
    right = tried = 0
    for seed in range(SEEDS):
        world = synthetic.world(n_users=60, n_items=40, seed=seed).dataset
        counts = world.train.getnnz(axis=0)
        found = views.lists(quick(world, "popularity"), world, 10)
        for user in range(world.n_users):
            left = np.setdiff1d(np.arange(world.n_items), world.seen[user].indices)
            best = left[np.lexsort((left, -counts[left]))][:10]
            tried += 1
            right += list(best) == [item for item in found[user] if item >= 0]
    return tried, right, "users"


def renumbered(small: Dataset) -> tuple[int, int, str]:
    """Number users and items otherwise and make the views anew: the scores only change places.

    Of the models without chance; a trained one draws its weights and batches by number.
    """
    tried = right = 0
    for seed in range(SEEDS):
        draw = generator(seed, "renumbered")
        users, items = draw.permutation(small.n_users), draw.permutation(small.n_items)
        parts = {name: sp.csr_matrix(getattr(small, name)[users][:, items])
                 for name in ("train", "valid", "test")}  # fmt: skip
        assert small.vectors is not None
        rows = small.items.iloc[items].reset_index(drop=True)
        moved = replace(small, **parts, items=rows, vectors=small.vectors[items])
        for model in ("svd", "ease", "popularity", "text-mean", "textgcn", "l3ae"):
            expected = scores(quick(small, model))[users][:, items]
            tried += 1
            right += np.allclose(scores(quick(moved, model)), expected, rtol=1e-4,
                                 atol=1e-4 * float(np.abs(expected).max()))  # fmt: skip
    return tried, right, "models without chance, made anew; scores within 1e-4 of the largest"


def scores(view: views.View) -> np.ndarray:
    """Return every user's scores (n_users × n_items float64)."""
    product: np.ndarray = view.users.double().numpy() @ view.items.double().numpy().T
    return product


def symmetric(small: Dataset) -> tuple[int, int, str]:
    """Exchange two models' lists: what speaks of a pair stays, what speaks of one changes place."""
    tried = right = 0
    lists = [views.lists(quick(small, model), small, 10) for model in views.models()]
    for number, a in enumerate(lists):
        for b in lists[:number]:
            one, other = (diagnostics.composition(*pair, small.test) for pair in ((a, b), (b, a)))
            tried += 1
            right += bool(
                np.array_equal(diagnostics.jaccard(a, b), diagnostics.jaccard(b, a), True)
                and np.array_equal(diagnostics.oracle([a, b], small.test),
                                   diagnostics.oracle([b, a], small.test), True)
                and one["both"].equals(other["both"])
                and one["a_only"].equals(other["b_only"])
            )  # fmt: skip
    return tried, right, "pairs of models"


LAWS: dict[str, Law] = {
    "test items exchanged: all before evaluation byte-identical": canary,
    "splits disjoint and covering": disjoint,
    "lists hold every item that is not masked, once": masked,
    "a planted perfect view has recall 1": planted,
    "random views have their expectation": chance,
    "popularity is its closed form": popular,
    "numbering users and items otherwise changes nothing": renumbered,
    "diagnostics of a pair are symmetric": symmetric,
}
