"""The k largest of each row against NumPy's stable sort, by both routes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lib.topk import best, by_partition, by_topk, members

# few different values, so that ties abound
VALUES = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2.0, 1e30])


def reference(values, k):
    """Negate and sort: the stable sort leaves equal values in the order of their positions."""
    return np.argsort(-values, axis=1, kind="stable")[:, :k]


def test_worked_by_hand():
    values = torch.tensor([[3.0, 5.0, 3.0, 9.0, 3.0], [0.0, -0.0, -1.0, 0.0, 0.0]])
    assert best(values, 3).tolist() == [[3, 1, 0], [0, 1, 3]]
    assert members(values, 3).tolist() == [[0, 1, 3], [0, 1, 3]]
    assert best(values, 9).tolist() == [[3, 1, 0, 2, 4], [0, 1, 3, 4, 2]]
    assert members(values, 5).tolist() == [[0, 1, 2, 3, 4]] * 2


@pytest.mark.parametrize("route", [by_partition, by_topk])
def test_of_equal_values_at_the_end_the_smaller_positions_are_in(route):
    values = torch.tensor([[1.0, 2.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], [7.0, 7.0, 7.0, 7.0]])
    assert route(values, 2).tolist() == [[0, 1], [2, 3], [0, 1]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(st.data())
def test_any_values(dtype, data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=40))
    values = data.draw(arrays(dtype, shape, elements=VALUES))
    k = data.draw(st.integers(1, shape[1] + 3))
    expected = reference(values, k)
    given_values = torch.from_numpy(values.copy())
    np.testing.assert_array_equal(best(given_values, k), expected)
    np.testing.assert_array_equal(members(given_values, k), np.sort(expected, axis=1))
    if k < shape[1]:
        for route in (by_partition, by_topk):
            np.testing.assert_array_equal(route(given_values, k), np.sort(expected, axis=1))
    np.testing.assert_array_equal(given_values, values)  # what was given is left as it was


def test_values_without_ties_and_wide_rows():
    values = np.random.default_rng(0).normal(size=(50, 3000)).astype(np.float32)
    for k in (1, 20, 2999):
        np.testing.assert_array_equal(best(torch.from_numpy(values), k), reference(values, k))


def test_a_view_of_a_table_and_weights_with_a_gradient():
    values = torch.randn(6, 90, generator=torch.Generator().manual_seed(0))
    weights = torch.nn.Parameter(values)
    for some in (values.T.contiguous().T, weights, torch.cat([values, values], 1)[:, :90]):
        np.testing.assert_array_equal(best(some, 7), reference(values.numpy(), 7))
