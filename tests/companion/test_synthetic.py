"""The synthetic world does what its formulas say."""

from typing import Any

import numpy as np
import pytest

from companion import data
from companion.data import synthetic
from lib.core import InputError

SETTINGS: dict[str, Any] = {
    "n_users": 400,
    "n_items": 300,
    "d_shared": 30,
    "d_semantic": 30,
    "d_collaborative": 30,
    "shared": 0.6,
    "dimension": 96,
}
WORLD = synthetic.world(**SETTINGS)


def fit(x: np.ndarray, y: np.ndarray) -> float:
    """Return the R² of the best linear map from x to y, fitted and scored on different halves."""
    half = len(x) // 2
    weights = np.linalg.lstsq(x[:half], y[:half], rcond=None)[0]
    left = ((y[half:] - x[half:] @ weights) ** 2).sum()
    return float(1 - left / ((y[half:] - y[:half].mean(0)) ** 2).sum())


def test_the_parts_of_the_utility_have_the_variances_that_were_asked_for() -> None:
    kinds = (WORLD.common, WORLD.semantic, WORLD.collaborative)
    parts = [kind.users @ kind.items.T for kind in kinds]
    np.testing.assert_allclose([p.var() for p in parts], [0.6, 0.2, 0.2], rtol=0.15)
    np.testing.assert_allclose(WORLD.utility, 3.0 * sum(parts))
    assert WORLD.utility.std() == pytest.approx(3.0, rel=0.1)


def test_an_ideal_view_knows_its_own_parts() -> None:
    both = WORLD.common.users @ WORLD.common.items.T
    for name, own in (("semantic", WORLD.semantic), ("collaborative", WORLD.collaborative)):
        ideal = WORLD.ideal(name)
        np.testing.assert_allclose(
            ideal.users @ ideal.items.T, both + own.users @ own.items.T, atol=1e-12
        )
    with pytest.raises(InputError, match="semantic"):
        WORLD.ideal("visual")


def test_text_tells_the_shared_and_its_own_part_and_nothing_of_the_other() -> None:
    big = synthetic.world(n_items=2000, n_users=20, noise=0.3)
    assert fit(big.vectors, big.common.items) > 0.8
    assert fit(big.vectors, big.semantic.items) > 0.6
    assert fit(big.vectors, big.collaborative.items) < 0.05


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_noise_is_the_standard_deviation_beside_a_signal_of_one(noise: float) -> None:
    quiet = synthetic.world(noise=0.0)
    noisy = synthetic.world(noise=noise)
    assert quiet.vectors.std() == pytest.approx(1, abs=1e-3)
    assert (noisy.vectors - quiet.vectors).std() == pytest.approx(noise, rel=0.02, abs=1e-6)


def test_interactions_follow_the_utility() -> None:
    dataset = WORLD.dataset
    whole = (dataset.seen + dataset.test).toarray().astype(bool)
    utility = WORLD.utility
    assert utility[whole].mean() > utility[~whole].mean() + 1
    random = synthetic.world(strength=0.0, n_users=400, n_items=300)
    whole = (random.dataset.seen + random.dataset.test).toarray().astype(bool)
    assert random.utility.tolist() == np.zeros((400, 300)).tolist()
    assert whole.mean(axis=0).max() < 0.15  # 20 of 300 by chance


def test_softmax_draws_have_their_probabilities() -> None:
    logits = np.log([0.5, 0.25, 0.125, 0.125] + [1e-9] * 8)
    drawn = synthetic._drawn(np.tile(logits, (4000, 1)), 5.0, 0)
    assert drawn.getnnz(axis=1).tolist() == [5] * 4000
    # five draws without replacement from four likely items: all four are there
    assert drawn[:, :4].sum() == 16000


@pytest.mark.parametrize("mean", [5.0, 12.0])
def test_a_user_has_as_many_interactions_as_asked(mean: float) -> None:
    counts = synthetic.world(interactions=mean).dataset
    n = (counts.seen + counts.test).getnnz(axis=1)
    assert n.min() >= 5
    assert n.mean() == pytest.approx(mean, rel=0.05)


def test_the_same_seed_is_the_same_world() -> None:
    again = synthetic.world(**SETTINGS)
    assert again.dataset.digest == WORLD.dataset.digest
    assert synthetic.world(seed=1).dataset.digest != synthetic.world(seed=2).dataset.digest


def test_another_split_is_of_the_same_interactions() -> None:
    one, other = (synthetic.world(split_seed=s).dataset for s in (1, 2))
    np.testing.assert_array_equal(
        (one.seen + one.test).toarray(), (other.seen + other.test).toarray()
    )
    assert (one.test != other.test).nnz


def test_it_is_a_dataset_by_name() -> None:
    dataset = data.load("synthetic")
    assert dataset.digest == synthetic.world().dataset.digest
    assert dataset.vectors is not None
    assert dataset.vectors.dtype == np.float32
    assert dataset.vectors.shape == (dataset.n_items, 64)
    assert dataset.card["vectors"] is True
    assert (dataset.items["text"] == "").all()


def test_all_shared_or_nothing_shared() -> None:
    alike = synthetic.world(shared=1.0)
    assert not alike.semantic.items.any()
    assert not alike.collaborative.items.any()
    apart = synthetic.world(shared=0.0)
    assert not apart.common.items.any()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shared", 1.5),
        ("noise", -1),
        ("interactions", 4),
        ("interactions", 1000),
        ("dimension", 3),
        ("d_semantic", 0),
        ("strength", float("nan")),
        ("split", "temporal"),
    ],
)
def test_wrong_numbers_are_one_sentence(name: str, value: object) -> None:
    with pytest.raises(InputError, match=name):
        synthetic.world(**{name: value})  # type: ignore[arg-type]
