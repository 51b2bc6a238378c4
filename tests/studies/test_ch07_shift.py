"""Maps compared by capacity and by item split: by hand, and on a small world."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from probed import random_vectors, run_of
from sklearn.metrics import r2_score

from lib import probes
from lib.core import InputError, generator
from lib.dataset import Dataset
from lib.probes import Recovery, maps, scores
from lib.probes import splits as item_splits
from lib.probes.splits import ItemSplit
from studies import ch06_probes, ch07_shift

NETWORKS = ("MLP-1", "MLP-2", "MLP-3")
pytestmark = pytest.mark.usefixtures("cache_folder")


def recovery(
    name: str, guess: np.ndarray, target: np.ndarray, split: ItemSplit, **info: Any
) -> Recovery:
    return Recovery(name, {"parameters": 1} | info, split, target, guess)


def noisy(noise: float, seed: int, n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    target = np.random.default_rng(0).normal(size=(n, 3))
    return target, target + noise * np.random.default_rng(seed).normal(size=(n, 3))


SPLIT = item_splits.random(50)


def a_map(name: str, noise: float, seed: int = 1, **info: Any) -> Recovery:
    target, guess = noisy(noise, seed)
    return recovery(name, guess, target, SPLIT, **info)


def test_compare_by_hand() -> None:
    target = np.array([[0.0], [2.0], [0.0], [2.0]])
    split = ItemSplit(np.array([0]), np.array([1]), np.array([2, 3]), "by hand")
    exact = recovery("exact", target.copy(), target, split)
    half = recovery("half", np.array([[9.0], [9.0], [0.0], [1.0]]), target, split)
    # held out are 0 and 2, of spread 2; the error of 1 leaves half of it
    assert ch07_shift.r2_of(exact, half).mean == 0.5
    assert ch07_shift.r2_of(half, combine=lambda value: value).mean == 0.5
    assert ch07_shift.r2_of(half, exact, combine=lambda a, b: a / b - 1).mean == -0.5


@pytest.mark.parametrize("part", ["train", "test"])
def test_compare_resamples_both_maps_alike_as_scikit_learn_would(part: Any) -> None:
    a, b = a_map("a", 0.5), a_map("b", 0.6, seed=2)
    items = getattr(SPLIT, part)
    resamples = generator(7, "bootstrap").integers(0, len(items), (scores.DRAWS, len(items)))

    def difference(rows: np.ndarray) -> float:
        return float(
            r2_score(a.target[rows], a.predicted[rows])
            - r2_score(b.target[rows], b.predicted[rows])
        )

    found = ch07_shift.r2_of(a, b, part=part, seed=7)
    drawn = [difference(items[rows]) for rows in resamples]
    assert found == pytest.approx(
        (difference(items), *np.quantile(drawn, [0.025, 0.975]), len(items))
    )
    assert ch07_shift.r2_of(a, a, part=part) == (0, 0, 0, len(items))


def test_the_share_reached_is_that_of_the_table() -> None:
    b, split = random_vectors(), item_splits.random(40)
    ways = [
        (b.sources[ch06_probes.RAW], maps.fit_ridge),
        (b.sources[ch06_probes.RAW], probes.permuted(maps.fit_ridge)),
        (b.second, maps.fit_ridge),
    ]
    three = [probes.recover(x, b.target, split, fit, seed=3) for x, fit in ways]
    table = probes.bounded(*three, k=5, seed=3).set_index(["score", "source"])
    share = ch07_shift.r2_of(*three, combine=probes.share_reached, seed=3)
    row = table.loc["R²", "text"]
    assert tuple(row[["reached", "reached_low", "reached_high"]]) == share[:3]
    assert 0 < share.low < share.high < 1


def test_differences_take_the_network_that_validation_chooses() -> None:
    fits = {
        0: {
            "ridge": a_map("ridge", 0.5),
            "MLP-1": a_map("MLP-1", 0.1, validation=[0.9, 0.4]),  # best on held-out items
            "MLP-2": a_map("MLP-2", 0.8, validation=[0.3, 0.5]),
            "MLP-3": a_map("MLP-3", 0.2, validation=[0.6]),
            "linear, reference": a_map("linear, reference", 0.5),
            "MLP-3, reference": a_map("MLP-3, reference", 0.3, seed=2),
        },
        1: {
            "ridge": a_map("ridge", 0.5),
            "MLP-1": a_map("MLP-1", 0.1, validation=[0.1]),
            "MLP-2": a_map("MLP-2", 0.8, validation=[0.3]),
            "MLP-3": a_map("MLP-3", 0.2, validation=[0.6]),
        },
    }
    found = ch07_shift.differences(fits)
    assert found[["what", "maps", "seed"]].to_numpy().tolist() == [
        ["training", "MLP-3, reference against linear, reference", 0],
        ["held_out", "MLP-3, reference against linear, reference", 0],
        ["stopped", "MLP-2 against ridge", 0],
        ["stopped", "MLP-1 against ridge", 1],
    ]
    test, train = SPLIT.test, SPLIT.train

    def r2(one: Recovery, items: np.ndarray) -> float:
        return float(r2_score(one.target[items], one.predicted[items]))

    first = fits[0]
    expected = [
        *(
            r2(first["MLP-3, reference"], part) - r2(first["linear, reference"], part)
            for part in (train, test)
        ),
        r2(first["MLP-2"], test) / r2(first["ridge"], test) - 1,
        r2(fits[1]["MLP-1"], test) / r2(fits[1]["ridge"], test) - 1,
    ]
    np.testing.assert_allclose(found["value"], expected)
    assert (found["low"] <= found["value"]).all() and (found["value"] <= found["high"]).all()


def test_maps_are_compared_on_a_sample_of_many_items(small: Dataset) -> None:
    run = run_of(small, sample_items=15)
    items = ch07_shift.sample(run)
    assert len(items) == 15 == len(set(items)) and (np.diff(items) > 0).all()
    fits = ch07_shift.by_capacity(run, [random_vectors(small.n_items)])
    reference = [f"{name}, reference" for name in ("linear", *NETWORKS)]
    assert list(fits[0]) == ["ridge", *NETWORKS, *reference]
    assert all(len(one.target) == 15 for one in fits[0].values())
    assert set(ch07_shift.differences(fits)["what"]) == {"training", "held_out", "stopped"}
    with pytest.raises(InputError, match="sample_items = 9 was given; give at least 10"):
        ch07_shift.check(run_of(small, sample_items=9))


def test_r2_of_both_parts_and_the_steps_of_the_figure() -> None:
    fits = {4: {n: a_map(n, 0.4) for n in ("ridge", "MLP-1", "linear, reference")}}
    found = ch07_shift.fitted_and_held_out(fits)
    train, test = (
        r2_score(*(z[part] for z in noisy(0.4, 1))) for part in (SPLIT.train, SPLIT.test)
    )
    np.testing.assert_allclose(found["value"], [train, test] * 3)
    steps = ch07_shift.by_step(ch06_probes.over_seeds(found, "map", "items"))
    assert list(steps["step"]) == ["linear", "linear", "MLP-1", "MLP-1", "linear", "linear"]
    assert steps["what"].iloc[-1] == "as the reference, held-out items"


def test_the_tables_of_both_chapters_on_a_small_world(small: Dataset) -> None:
    run = run_of(small)
    made, missing = ch07_shift.splits(run)
    assert list(made) == ["random", "popularity", "cluster"]
    assert "no interaction times" in missing["temporal"]
    every_seed = [ch06_probes.vectors(run, seed) for seed in run.seeds]
    assert (
        every_seed[0].users.shape[0] == 60 and (every_seed[0].second == every_seed[1].target).all()
    )
    every = ch06_probes.by_map(run, every_seed, made["random"])
    found = ch06_probes.over_seeds(every, "score", "origin", "map", "source")
    seeds = found.groupby("map")["seeds"].unique().map(list).to_dict()
    assert seeds == {"ridge": [2], "procrustes": [1], "cca": [1], "MLP-1": [1]}
    assert len(found) == 23 * 2 * 4 * 3
    shifted = ch07_shift.by_split(run, every_seed, made)
    assert len(shifted) == 7 * 3 * 3 * 3 * 2
    of_both = shifted["split"].eq("random") & shifted["map"].eq("ridge")
    same = every["map"].eq("ridge") & every["score"].isin(shifted["score"].unique())
    assert sorted(shifted[of_both]["value"]) == sorted(every[same]["value"])
    fits = ch07_shift.by_capacity(run, every_seed)
    assert [len(of_seed) for of_seed in fits.values()] == [8, 4]  # the reference's of one seed
    assert (ch07_shift.sample(run) == np.arange(small.n_items)).all()


def test_equal_texts_have_no_clusters(small: Dataset) -> None:
    assert small.vectors is not None
    flat = replace(small, vectors=np.ones_like(small.vectors))
    made, missing = ch07_shift.splits(run_of(flat))
    assert list(made) == ["random", "popularity"]
    assert "point the same way" in missing["cluster"]
