"""Maps kept and compared for the chapters on probes: by hand, and on a small world."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score

from lib import probes
from lib.core import InputError, generator
from lib.dataset import Dataset
from lib.probes import Recovery, maps, scores
from lib.probes import splits as item_splits
from lib.probes.splits import ItemSplit
from studies import ch06_probes, ch07_shift
from studies.context import Run

pytestmark = pytest.mark.usefixtures("cache_folder")
GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "device": "cpu", "epochs": 2, "wide_items": 0,
}  # fmt: skip
NAN = float("nan")


def run_of(dataset: Dataset, **change: Any) -> Run:
    return Run(dataset, GIVEN | change)


@pytest.fixture
def run(small: Dataset) -> Run:
    return run_of(small)


def random_vectors(n: int = 40, seed: int = 0) -> ch06_probes.ProbeVectors:
    """Return vectors that stand for those of trained views."""
    draw = np.random.default_rng(seed)
    factors = draw.normal(size=(n, 4))
    projected, raw = (factors @ draw.normal(size=(4, d)) + draw.normal(size=(n, d)) for d in (4, 6))
    second = factors @ np.linalg.qr(draw.normal(size=(4, 4)))[0]
    sources = {ch06_probes.PROJECTED: projected, ch06_probes.RAW: raw}
    return ch06_probes.ProbeVectors(seed, sources, factors, second, draw.normal(size=(60, 4)))


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


# comparisons


def test_compare_by_hand() -> None:
    target = np.array([[0.0], [2.0], [0.0], [2.0]])
    split = ItemSplit(np.array([0]), np.array([1]), np.array([2, 3]), "by hand")
    exact = recovery("exact", target.copy(), target, split)
    half = recovery("half", np.array([[9.0], [9.0], [0.0], [1.0]]), target, split)
    # held out are 0 and 2, of spread 2; the error of 1 leaves half of it
    assert ch07_shift.compare(exact, half).mean == 0.5
    assert ch07_shift.compare(half, combine=lambda value: value).mean == 0.5
    assert ch07_shift.compare(half, exact, combine=lambda a, b: a / b - 1).mean == -0.5


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

    found = ch07_shift.compare(a, b, part=part, seed=7)
    drawn = [difference(items[rows]) for rows in resamples]
    assert found == pytest.approx(
        (difference(items), *np.quantile(drawn, [0.025, 0.975]), len(items))
    )
    assert ch07_shift.compare(a, a, part=part) == (0, 0, 0, len(items))


def test_only_maps_of_one_target_on_one_split_are_compared() -> None:
    a = a_map("a", 0.5)
    for other in (
        replace(a, target=a.target + 1),
        replace(a, split=item_splits.random(50, seed=1)),
    ):
        with pytest.raises(InputError, match="'a' and 'a' were judged on other target vectors"):
            ch07_shift.compare(a, other)


def test_the_share_reached_is_that_of_the_table() -> None:
    b, split = random_vectors(), item_splits.random(40)
    ways = [
        (b.sources[ch06_probes.RAW], maps.fit_ridge),
        (b.sources[ch06_probes.RAW], probes.permuted(maps.fit_ridge)),
        (b.second, maps.fit_ridge),
    ]
    three = [probes.recover(x, b.target, split, fit, seed=3) for x, fit in ways]
    table = probes.bounded(*three, k=5, seed=3).set_index(["score", "source"])
    share = ch07_shift.compare(*three, combine=probes.share_reached, seed=3)
    row = table.loc["R²", "text"]
    assert tuple(row[["reached", "reached_low", "reached_high"]]) == share[:3]
    assert 0 < share.low < share.high < 1


def test_no_held_out_item_decides_a_map() -> None:
    b, split = random_vectors(), item_splits.random(40)
    for name in ("ridge", "cca", "MLP-1"):
        fit = probes.named(name, epochs=3, device="cpu")
        x, y = b.sources[ch06_probes.RAW].copy(), b.target.copy()
        before = probes.recover(x, y, split, fit).predicted[split.train]
        x[split.test], y[split.test] = 9 * x[split.test], -y[split.test][::-1]
        assert (probes.recover(x, y, split, fit).predicted[split.train] == before).all()


# F7


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


def test_without_the_wide_networks_nothing_can_be_compared() -> None:
    fits = {0: {"ridge": a_map("ridge", 0.5), "MLP-1": a_map("MLP-1", 0.1, validation=[0.1])}}
    found = ch06_probes.over_seeds(ch07_shift.differences(fits), "what")
    assert np.isnan(ch06_probes.pick(found, what="stopped").mean)
    assert ch06_probes.pick(found, what="held_out").n == 0


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


# tables


def table_by_seed() -> pd.DataFrame:
    rows = [
        ("ridge", "text", 0, 1.0, 0.5, 1.5), ("ridge", "text", 1, 2.0, 1.8, 2.2),
        ("ridge", "permuted", 0, 0.0, 0.0, 0.0), ("ridge", "permuted", 1, 0.5, 0.0, 1.0),
        ("ridge", "second seed", 0, 4.0, 3.0, 5.0), ("ridge", "second seed", 1, NAN, NAN, NAN),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["map", "source", "seed", "value", "low", "high"])
    share = {"reached": table["value"] / 4, "reached_low": 0.1, "reached_high": 0.9}
    return table.assign(n=9, **share)


def test_seeds_are_averaged_and_the_widest_interval_is_kept() -> None:
    found = ch06_probes.over_seeds(table_by_seed(), "map", "source")
    assert ch06_probes.pick(found, source="text") == (1.5, 0.5, 2.2, 9)
    assert ch06_probes.pick(found, "reached", source="text", map="ridge") == (0.375, 0.1, 0.9, 9)
    assert list(found["seeds"]) == [2, 2, 2]
    assert np.isnan(ch06_probes.pick(found, source="second seed")[:3]).all()
    assert ch06_probes.pick(found, source="text", map="cca").n == 0
    assert ch06_probes.intervals(found)[0] == "1.5000 [0.5000, 2.2000]"
    assert ch06_probes.intervals(found, "reached")[0] == "0.3750 [0.1000, 0.9000]"


def test_bounds_stand_beside_the_text_and_shares_in_its_place() -> None:
    found = ch06_probes.over_seeds(table_by_seed()[lambda t: t["seed"] == 0], "map", "source")
    (row,) = ch06_probes.with_bounds(found).to_dict("records")
    assert (row["mean"], row["floor"], row["ceiling"]) == (1, 0, 4)
    (share,) = ch06_probes.as_shares(found[found["source"] == "text"]).to_dict("records")
    assert [share[c] for c in ("floor", "low", "mean", "high", "ceiling")] == [0, 0.1, 0.25, 0.9, 1]


def test_rows_are_put_in_the_order_wanted() -> None:
    table = pd.DataFrame({"a": list("xyxyz"), "b": [1, 1, 2, 2, 1]})
    found = ch06_probes.ordered(table, b=[2, 1], a=["y", "x"])
    assert found.to_numpy().tolist() == [["y", 2], ["x", 2], ["y", 1], ["x", 1]]


# what is kept


def test_a_map_is_fitted_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    b, split = random_vectors(), item_splits.random(40)
    source = b.sources[ch06_probes.RAW]
    for name in ("ridge", "MLP-1"):
        fit = probes.named(name, epochs=2, device="cpu")
        for shuffled, way in ((False, fit), (True, probes.permuted(fit))):
            made = ch06_probes.recovery(run, name, source, b.target, split, 1, shuffled=shuffled)
            plain = probes.recover(source, b.target, split, way, seed=1)
            assert (made.predicted == plain.predicted).all() and (made.target == b.target).all()
            assert made.info["parameters"] == plain.info["parameters"]
            assert all((made.split.test == plain.split.test).tolist())
    first = ch06_probes.probe_table(run, b, ch06_probes.RAW, "ridge", split, users=True)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(probes, "recover", refuse)
    monkeypatch.setattr(probes, "bounded", refuse)
    ch06_probes.recovery(run, "MLP-1", source, b.target, split, 1)
    ch06_probes.recovery(run_of(run.dataset, epochs=7), "ridge", source, b.target, split, 1)
    again = ch06_probes.probe_table(run, b, ch06_probes.RAW, "ridge", split, users=True)
    pd.testing.assert_frame_equal(first, again)
    changes: list[dict[str, Any]] = [
        {"run": run_of(run.dataset, epochs=7)},  # a network's
        {"seed": 2},
        {"split": item_splits.random(40, seed=5)},
        {"target": b.target + 1},
        {"source": source + 1},
    ]
    given = {"run": run, "name": "MLP-1", "source": source, "target": b.target, "split": split}
    for change in changes:
        with pytest.raises(AssertionError, match="made again"):
            ch06_probes.recovery(**given | {"seed": 1} | change)


def test_the_tables_of_both_chapters_on_a_small_world(run: Run) -> None:
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
    fits = ch07_shift.by_capacity(run, every_seed, made["random"])
    reference = ["linear, reference", "MLP-1, reference"]
    assert [list(of_seed) for of_seed in fits.values()] == [
        ["ridge", "MLP-1", *reference], ["ridge", "MLP-1"],
    ]  # fmt: skip


def test_equal_texts_have_no_clusters(small: Dataset) -> None:
    assert small.vectors is not None
    flat = replace(small, vectors=np.ones_like(small.vectors))
    made, missing = ch07_shift.splits(run_of(flat))
    assert list(made) == ["random", "popularity"]
    assert "one cluster" in missing["cluster"]


def test_wide_networks_are_left_out_on_many_items(small: Dataset) -> None:
    assert ch06_probes.validated(run_of(small, wide_items=39)) == ("MLP-1",)
    assert ch06_probes.validated(run_of(small, wide_items=40)) == ("MLP-1", "MLP-2", "MLP-3")


@pytest.mark.parametrize("change", [{"epochs": 0}, {"wide_items": -1}])
def test_parameters_out_of_bounds_are_refused(small: Dataset, change: dict[str, int]) -> None:
    ch06_probes.check(run_of(small))
    with pytest.raises(InputError, match=r"epochs must be ≥ 1 and wide_items ≥ 0"):
        ch06_probes.check(run_of(small, **change))
