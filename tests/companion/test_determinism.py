"""The same answer whatever the batch, the threads or the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from companion.data import synthetic
from lib import views
from lib.encoders import text
from lib.topk import topk

TOLERANCE = 1e-4  # of the largest score, between thread counts: sums are taken in another order
TITLES = [f"The {first} of the {second}" for first in ("quest", "castle", "night", "tower", "race")
          for second in ("island", "dragon", "ocean", "space")]  # fmt: skip

pytestmark = pytest.mark.usefixtures("cache_folder")


def test_neighbours_of_titles_are_the_same_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = text._vectors("minilm", TITLES)
    for batch in (1, 7, 16, 80):
        monkeypatch.setattr(text, "BATCH", batch)
        vectors = text._vectors("minilm", TITLES)
        assert torch.equal(topk(vectors, vectors, 5).items, topk(usual, usual, 5).items)


def test_other_threads_rank_the_same_and_train_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = synthetic.world(n_users=400, n_items=300, seed=5).dataset
    usual, ranked, scores = torch.get_num_threads(), [], []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / str(threads)))
            view = views.fit(dataset, "lightgcn", device="cpu", epochs=8, batch=1024)
            scores.append(view.users @ view.items.T)
            ranked.append(views.lists(views.fit(dataset, "random", device="cpu"), dataset, 10))
    finally:
        torch.set_num_threads(usual)
    for lists, score in zip(ranked, scores, strict=True):
        np.testing.assert_array_equal(lists, ranked[0])
        assert (score - scores[0]).abs().max() <= TOLERANCE * scores[0].abs().max()


def test_lists_and_scores_are_the_same_within_any_memory() -> None:
    dataset = synthetic.world(n_users=400, n_items=300, seed=5).dataset
    view = views.fit(dataset, "random", device="cpu")
    usual = topk(view.users, view.items, 10, exclude=dataset.seen)
    for power in range(18, 28, 3):
        found = topk(view.users, view.items, 10, exclude=dataset.seen, memory=2**power)
        assert torch.equal(found.items, usual.items) and torch.equal(found.scores, usual.scores)
