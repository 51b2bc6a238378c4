"""The measures of the alignment sweep: by hand, against plain references, and their laws."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import diagnostics
from lib.dataset import Dataset
from studies import ch10_diversity, measures
from studies.context import Run


def test_neighbourhood_is_small_where_items_are_few() -> None:
    assert [ch10_diversity.n_neighbours(n) for n in (2, 24, 200, 201, 10_000)] == [
        1,
        2,
        19,
        20,
        20,
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(3, 30))
def test_ranks_of_resamples_are_those_of_the_rows_repeated(seed: int, d: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal((n, d)), rng.multinomial(n, np.full(n, 1 / n), 3)
    expected = [diagnostics.effective_rank(np.repeat(x, w, axis=0)) for w in weights]
    np.testing.assert_allclose(ch10_diversity._ranks(x, weights), expected, rtol=1e-6)


def test_ranks_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((50, 4)), rng.multinomial(50, np.full(50, 0.02), 5)
    whole = ch10_diversity._ranks(x, weights)
    monkeypatch.setattr(ch10_diversity, "_BLOCK", 70)
    np.testing.assert_allclose(ch10_diversity._ranks(x, weights), whole)


def test_effective_ranks_have_the_same_resamples_in_any_order_of_items() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((80, 6))
    turned = x @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    flat = x * [1, 1, 1, 0, 0, 0]
    one, same, less = ch10_diversity.effective_ranks([x, turned, flat])
    assert one.value == pytest.approx(diagnostics.effective_rank(x))
    np.testing.assert_allclose(one.drawn, same.drawn)  # a rotation has no effect
    assert one.drawn.mean() == pytest.approx(one.value)
    assert less.value <= 3 and measures.measure("F10", rank=[(less, one)])["rank"].high < 0
    order = rng.permutation(80)
    np.testing.assert_allclose(ch10_diversity.effective_ranks([x[order]])[0].drawn, one.drawn)


def make(small: Dataset, seeds: int, epochs: int) -> Run:
    given = {"seed": 0, "seeds": seeds, "k": 5, "encoder": "minilm", "device": "cpu"}
    return Run(small, given, epochs=epochs)


@pytest.mark.usefixtures("cache_folder")
def test_sweep_on_a_small_world(small: Dataset) -> None:
    run = make(small, 2, epochs=2)
    swept = ch10_diversity.swept_views(run)
    found = ch10_diversity.scores(run, swept)
    table = ch10_diversity.over_seeds(run, found)
    names = [
        *map(str, ch10_diversity.WEIGHTS),
        ch10_diversity.SECOND,
        ch10_diversity.TEXT,
        ch10_diversity.FUSED,
    ]
    assert {what for what, _ in swept} == set(names)
    for measure in ch10_diversity.MEASURES:
        of = table[table["measure"] == measure]
        of_vectors = measure in list(ch10_diversity.MEASURES)[3:]
        assert of["what"].tolist() == names + [ch10_diversity.POPULAR] * (not of_vectors)
        assert (of["n"] <= (small.n_items if of_vectors else small.n_users)).all()
    assert (table["least"] <= table["mean"] + 1e-9).all()
    assert (table["mean"] <= table["most"] + 1e-9).all()
    at = table.set_index(["measure", "what"])["mean"]
    # the same vectors keep all of their neighbours, and other seeds change places
    assert at["neighbours of weight 0 kept", "0"] == 1
    assert at["effective rank", ch10_diversity.SECOND] == pytest.approx(at["effective rank", "0"])
    shown = ch10_diversity.catalogue(run, swept)
    assert list(shown.index) == names and (shown.loc[names[:6], "epochs to the best"] <= 2).all()
    lists = [run.lists_of(swept["1", seed]) for seed in (0, 1)]
    covered = np.mean([len(np.unique(one)) / small.n_items for one in lists])
    assert shown.loc["1", "coverage"] == pytest.approx(covered)
    pairs = ch10_diversity.beside_unaligned(run, found, "effective rank", ch10_diversity.SECOND)
    null = measures.measure("F10", rank_seeds=pairs)["rank_seeds"]
    a, b = (found["effective rank", "0", seed].value for seed in (0, 1))
    assert null.mean == pytest.approx((abs(a / b - 1) + abs(b / a - 1)) / 2)
    assert null.low >= 0


@pytest.mark.usefixtures("cache_folder")
def test_other_test_items_change_test_recall_alone(
    small: Dataset, small_with_other_test: Dataset
) -> None:
    tables = []
    for dataset in (small, small_with_other_test):
        run = make(dataset, 1, epochs=1)
        tables.append(
            ch10_diversity.over_seeds(
                run, ch10_diversity.scores(run, ch10_diversity.swept_views(run))
            )
        )
    one, other = (table[table["measure"] != "test recall"] for table in tables)
    pd.testing.assert_frame_equal(one, other)


def test_a_figure_over_the_weights_has_level_references() -> None:
    kinds = ["0", "10", ch10_diversity.SECOND, ch10_diversity.TEXT, ch10_diversity.FUSED]
    rows = [
        {"measure": m, "what": w, "mean": 1.0, "low": 0.5, "high": 1.5, "least": 0.9, "most": 1.1}
        for m in ("novelty", "effective rank")
        for w in [*kinds, ch10_diversity.POPULAR]
    ]
    found = ch10_diversity.over_weights(pd.DataFrame(rows)).set_index(["panel", "what"])
    swept = found.loc[("novelty", ch10_diversity.SWEPT)]
    assert swept["weight"].tolist() == ["0", "10"] and (swept["high"] == 1.5).all()
    second, text, fused = ch10_diversity.REFERENCES.values()
    level = found.loc[("novelty", second)]
    assert level["weight"].tolist() == ["0", "10"] and level["low"].tolist() == [0.9, 0.9]
    assert found.loc[("novelty", text)][["low", "high"]].isna().all(axis=None)
    assert set(found.loc["effective rank"].index) == {ch10_diversity.SWEPT, second, text}
    assert len(found) == 8 + 6 and fused in found.loc["novelty"].index
