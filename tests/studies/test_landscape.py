"""The summary over sets: by hand, against least squares, and cached set by set."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress, t

from companion import data
from lib.dataset import Dataset
from studies import landscape


def sets_of(effects: list[float], errors: list[float], **columns: Any) -> pd.DataFrame:
    y, e = np.array(effects), 1.96 * np.array(errors)
    names = [f"set {n}" for n in range(len(y))]
    given = {"set": names, "gain": y, "gain_low": y - e, "gain_high": y + e, **columns}
    return pd.DataFrame(given)


def test_a_mean_of_random_effects_by_hand() -> None:
    # weights 1, 2, 1: mean 1.25, Q 1.5625 + 0.125 + 3.0625 = 4.75 for 2 degrees of freedom,
    # tau² (4.75 − 2) / (4 − 6 / 4) = 1.1, I² 2.75 / 4.75
    (row,) = landscape.pooled(sets_of([0, 1, 3], [1, np.sqrt(0.5), 1]), "gain").to_dict("records")
    weights = np.array([1 / 2.1, 1 / 1.6, 1 / 2.1])
    mean = weights @ [0, 1, 3] / weights.sum()
    spread = weights @ np.square(np.array([0, 1, 3]) - mean) / 2
    assert row["tau"] == pytest.approx(np.sqrt(1.1)) and row["I²"] == pytest.approx(2.75 / 4.75)
    assert row["mean"] == pytest.approx(mean)
    assert row["se"] == pytest.approx(np.sqrt(max(1, spread) / weights.sum()))
    assert row["high"] - mean == pytest.approx(t.ppf(0.975, 2) * row["se"])


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=9), st.integers(0, 9))
def test_equal_errors_give_the_t_interval_of_least_squares(effects: list[float], seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=len(effects))
    # errors so small that the sets differ by more than these
    y = np.array(effects) + np.random.default_rng(seed + 10).normal(size=len(effects))
    sets = sets_of(list(y), [1e-4] * len(y))
    slope, plain = landscape.pooled(sets, "gain", x), linregress(x, y)
    np.testing.assert_allclose(slope["mean"], [plain.intercept, plain.slope], atol=1e-6)
    errors = [plain.intercept_stderr, plain.stderr]
    np.testing.assert_allclose(slope["se"], errors, rtol=1e-4, atol=1e-6)
    mean = landscape.pooled(sets, "gain")
    np.testing.assert_allclose(mean["se"], y.std(ddof=1) / np.sqrt(len(y)), rtol=1e-4)


def test_sets_that_agree_have_no_heterogeneity() -> None:
    (row,) = landscape.pooled(sets_of([1, 1.01, 0.99], [1, 1, 1]), "gain").to_dict("records")
    assert row["tau"] == row["I²"] == 0
    assert row["se"] == pytest.approx(np.sqrt(1 / 3))  # never below the model's own


def test_too_few_sets_have_no_summary() -> None:
    found = landscape.forest(sets_of([1, 2], [1, 1]), {"gain": "F5"})
    assert list(found["what"]) == ["set 0", "set 1", landscape.SUMMARY, landscape.NEXT]
    assert found["mean"].isna().tolist() == [False, False, True, True]


def test_a_next_set_varies_with_the_sets_and_with_the_mean() -> None:
    found = landscape.forest(sets_of([0, 1, 3], [1, np.sqrt(0.5), 1]), {"gain": "F5"})
    further = found.set_index("what").loc[landscape.NEXT]
    half = t.ppf(0.975, 1) * np.sqrt(1.1 + further["se"] ** 2)
    assert further["high"] - further["mean"] == pytest.approx(half)
    assert set(found["panel"]) == {"F5"}


def test_the_regression_is_centred_on_the_papers_ratio() -> None:
    ratio = landscape.PAPER * 2.0 ** np.array([-2, -1, 0, 1, 0, -1])
    density = 1e-3 * 10.0 ** np.array([0, -1, 1, 0, -1, 1])
    gain = 0.2 + 0.1 * np.log2(ratio / landscape.PAPER) - 0.05 * np.log10(density / 1e-3)
    columns = {f"{name}{end}": gain + shift for name in landscape.GAINS
               for end, shift in (("", 0), ("_low", -0.01), ("_high", 0.01))}  # fmt: skip
    sets = pd.DataFrame({"ratio": ratio, "density": density, **columns})
    found = landscape.regression(sets).set_index(["panel", "what"])["mean"]
    for panel in landscape.GAINS.values():
        values = found[panel][list(landscape.COEFFICIENTS)]
        np.testing.assert_allclose(values, [0.2, 0.1, 0.05], atol=1e-9)


def test_every_set_of_the_list_is_known() -> None:
    assert set(landscape.SETS) <= set(data.names()) and len(set(landscape.SETS)) == 14


def test_a_set_is_computed_once(
    small: Dataset, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landscape, "load", lambda name: small)
    given = {"seed": 0, "seeds": 2, "k": 5, "encoder": "minilm", "device": "cpu"}
    first = landscape.of_set("one", given, 1)
    pairs = small.train.nnz + small.valid.nnz + small.test.nnz
    assert first["density"] == pytest.approx(pairs / (small.n_users * small.n_items))
    assert np.isfinite([first[name] for name in (*landscape.VIEWS, *landscape.GAINS)]).all()
    monkeypatch.setattr(landscape, "beside_lightgcn", None)  # it would fail if it were called
    assert landscape.of_set("one", given, 1) == first
