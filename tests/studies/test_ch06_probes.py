"""Maps that are fitted once, and the tables of their scores over seeds."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from probed import random_vectors, run_of

from companion import chapter
from lib import probes
from lib.core import InputError
from lib.dataset import Dataset
from lib.probes import splits as item_splits
from studies import ch06_probes
from studies.context import Run

pytestmark = pytest.mark.usefixtures("cache_folder")
NAN = float("nan")


@pytest.fixture
def run(small: Dataset) -> Run:
    return run_of(small)


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
    assert chapter.intervals(found)[0] == "1.5000 [0.5000, 2.2000]"
    assert chapter.intervals(found, "reached")[0] == "0.3750 [0.1000, 0.9000]"


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


def test_no_held_out_item_decides_a_map() -> None:
    b, split = random_vectors(), item_splits.random(40)
    for name in ("ridge", "cca", "MLP-1"):
        fit = probes.named(name, epochs=3, device="cpu")
        x, y = b.sources[ch06_probes.RAW].copy(), b.target.copy()
        before = probes.recover(x, y, split, fit).predicted[split.train]
        x[split.test], y[split.test] = 9 * x[split.test], -y[split.test][::-1]
        assert (probes.recover(x, y, split, fit).predicted[split.train] == before).all()


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


def test_wide_networks_are_left_out_on_many_items(small: Dataset) -> None:
    assert ch06_probes.validated(run_of(small, wide_items=39)) == ("MLP-1",)
    assert ch06_probes.validated(run_of(small, wide_items=40)) == ("MLP-1", "MLP-2", "MLP-3")


@pytest.mark.parametrize(("name", "least"), [("epochs", 1), ("wide_items", 0)])
def test_parameters_out_of_bounds_are_refused(small: Dataset, name: str, least: int) -> None:
    ch06_probes.check(run_of(small, **{name: least}))
    words = f"{name} = {least - 1} was given; give .*at least {least}"
    with pytest.raises(InputError, match=words):
        ch06_probes.check(run_of(small, **{name: least - 1}))


@pytest.mark.usefixtures("cache_folder")
def test_fewer_held_out_items_than_k_are_all_neighbours(small: Dataset) -> None:
    given = (random_vectors(40), ch06_probes.RAW, "ridge", item_splits.random(40))
    tables = [ch06_probes.probe_table(run_of(small, k=k), *given) for k in (7, 20)]
    pd.testing.assert_frame_equal(*tables)  # 8 items are held out, so each has 7 others
