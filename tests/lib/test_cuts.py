"""All diagnostics of two lists at several lengths: by hand, and as each diagnostic says alone."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Tiny, worlds

from lib import diagnostics
from lib.core import InputError
from lib.cuts import at_cuts

A = np.array([[0, 1, 2], [3, -1, -1]])
B = np.array([[2, 0, 1], [-1, -1, -1]])
RELEVANT = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32))


def test_two_users_by_hand() -> None:
    tables = at_cuts(A, B, RELEVANT, [3, 1, 2])
    assert list(tables) == [1, 2, 3]
    expected = {
        1: [[0, 0, 1, 1, 2, 1], [0, 0, 1, 0, 1, 1]],  # {0} and {2}; {3} and nothing
        2: [[1 / 3, 1, 0, 1, 2, 1], [0, 0, 1, 0, 1, 1]],  # {0, 1} and {2, 0}
        3: [[1, 2, 0, 0, 2, 1], [0, 0, 1, 0, 1, 1]],
    }
    for k, table in tables.items():
        columns = ["jaccard", "both", "a_only", "b_only", "relevant", "oracle"]
        assert table.columns.tolist() == columns
        np.testing.assert_allclose(table.to_numpy(), expected[k], atol=1e-12, rtol=0)


@settings(deadline=None, max_examples=200)
@given(worlds(), st.sets(st.integers(1, 14), min_size=1))
def test_each_cut_is_what_every_diagnostic_says_of_lists_of_that_length(
    world: Tiny, ks: set[int]
) -> None:
    a, b, _ = world.lists
    ks = {min(k, a.shape[1], b.shape[1]) for k in ks}
    tables = at_cuts(a, b, world.relevant, list(ks))
    assert set(tables) == ks
    for k, table in tables.items():
        first, second = a[:, :k], b[:, :k]
        np.testing.assert_array_equal(table["jaccard"], diagnostics.jaccard(first, second))
        parts = diagnostics.composition(first, second, world.relevant)
        pd.testing.assert_frame_equal(table[parts.columns.tolist()], parts)
        oracle = diagnostics.oracle([first, second], world.relevant)
        np.testing.assert_array_equal(table["oracle"], oracle)


def test_blocks_of_users_and_long_lists_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    a, b = (np.argsort(draw.random((5, 700)), axis=1)[:, :600] for _ in range(2))
    relevant = sp.random(5, 700, 0.2, format="csr", random_state=1, dtype=np.float32)
    monkeypatch.setattr(diagnostics, "_USERS", 2)
    tables = at_cuts(a, b, relevant, [10, 300, 600])  # more common items than a byte counts
    for k, table in tables.items():
        shared = [len({*a[u, :k]} & {*b[u, :k]}) for u in range(5)]
        np.testing.assert_allclose(table["jaccard"], [n / (2 * k - n) for n in shared])
    assert max(shared) > 255


def test_nobody_has_anything() -> None:
    nothing = sp.csr_matrix((2, 4), dtype=np.float32)
    table = at_cuts(-np.ones((2, 3), int), -np.ones((2, 3), int), nothing, [2])[2]
    assert table[["jaccard", "oracle"]].isna().all(axis=None)
    assert (table[["both", "a_only", "b_only", "relevant"]] == 0).all(axis=None)
    assert math.isnan(at_cuts(A, B, nothing, [3])[3]["oracle"][0])


@pytest.mark.parametrize("ks", [[], [0], [2, 4]])
def test_a_cut_that_the_lists_do_not_have(ks: list[int]) -> None:
    with pytest.raises(InputError, match="from 1 to 3"):
        at_cuts(A, B, RELEVANT, ks)
