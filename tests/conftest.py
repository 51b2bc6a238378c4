"""A small dataset that every model can be fitted on in a second, in a cache of its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from companion.data import synthetic
from lib.dataset import Dataset


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the cache into an empty folder for one test."""
    monkeypatch.setenv("COMPANION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def small() -> Dataset:
    """Return a world of 60 users and 40 items whose text vectors come with it."""
    return synthetic.world(n_users=60, n_items=40, seed=3).dataset


@pytest.fixture(scope="session")
def small_with_other_test(small: Dataset) -> Dataset:
    """Return the same dataset with the test items of the users exchanged: the canary."""
    order = np.random.default_rng(0).permutation(small.n_users)
    return replace(small, test=small.test[order])
