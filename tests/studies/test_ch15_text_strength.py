"""The ladder of texts: its rungs, what they are compared with, and where fusion pays."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import make_template
import numpy as np
import pytest
import runs
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from companion.data import load
from lib import views
from lib.dataset import Dataset
from lib.encoders import text
from lib.metrics import recall
from lib.stats import Estimate
from studies import ch15_text_strength as strength
from studies import measures
from studies.concatenation import best_concat

NOISES = [("minilm with noise", f"noise × {level:g}") for level in strength.NOISES]

run_of = partial(runs.run_of, epochs=1)


def test_a_text_is_a_rung_once_and_what_is_lacking_is_said() -> None:
    name = str(make_template.FOLDER)
    run = run_of(load(name), dataset=name, encoder="tfidf")
    texts, lacking = strength.texts(run, "tfidf, genres")
    noises = [("tfidf with noise", what) for _, what in NOISES]
    assert list(texts) == [("tfidf", "all"), ("tfidf", "title"), *noises]
    assert any("'title,categories'" in why for why in lacking)
    assert any("encoder 'genres'" in why for why in lacking)
    titles = texts["tfidf", "title"]
    assert titles.learned is not None and titles.dataset is run.dataset
    assert titles.learned.interactions_digest == run.dataset.interactions_digest
    assert (titles.learned.items["text"] == run.dataset.items["title"]).all()


def test_noise_is_as_long_as_it_says_and_the_same_at_every_level(small: Dataset) -> None:
    texts, _ = strength.texts(run_of(small), "")
    assert list(texts) == [("minilm", "all"), *NOISES]
    assert small.vectors is not None
    clean = small.vectors / np.linalg.norm(small.vectors, axis=1, keepdims=True)
    noises = []
    for name, level in zip(NOISES, strength.NOISES, strict=True):
        learned = texts[name].learned
        assert learned is not None
        encoded = text.encode(learned, texts[name].encoder).numpy()
        noises.append((encoded - clean) / level)
    np.testing.assert_allclose(noises[0], noises[2], atol=1e-5)
    lengths = np.square(noises[0]).sum(axis=1)
    assert lengths.mean() == pytest.approx(1, abs=0.1)


def test_lightgcn_is_trained_once_for_all_rungs(
    small: Dataset, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    plain: Callable[..., Any] = views.fit_encoder

    def counting(make: Any, *rest: Any, **named: Any) -> Any:
        trained.append(make.__name__)
        return plain(make, *rest, **named)

    monkeypatch.setattr(views, "fit_encoder", counting)
    run = run_of(small)
    texts, _ = strength.texts(run, "")
    found = strength.ladder(run, texts)
    strength.table(run, found)
    assert trained.count("LightGCN") == 2 + 2  # two seeds at 64 and at 128 dimensions
    assert trained.count("Linear") == 2 * len(texts)


def test_a_rung_is_of_what_it_says(small: Dataset) -> None:
    run = run_of(small)
    texts, _ = strength.texts(run, "")
    semantic = texts[NOISES[1]]
    found = strength.beside_lightgcn(run, semantic, strength.weighted(run), wide=[])
    for seed in (0, 1):
        view = semantic.view("linear", seed)
        np.testing.assert_array_equal(found.semantic[seed], run.lists_of(view))
        both = best_concat(small, [view, run.view("lightgcn", seed)])
        np.testing.assert_array_equal(found.fused[seed], run.lists_of(both))
        two = best_concat(small, [run.view("lightgcn", seed), run.view("lightgcn", 1 - seed)])
        np.testing.assert_array_equal(found.control[seed], run.lists_of(two))
    values = strength.findings(replace(found, nulls={}))
    top, base = (
        np.nansum([recall(lists, small.test) for lists in of])
        for of in (found.fused, found.control)
    )
    assert values["seeds"] == pytest.approx(top / base - 1)
    assert values["seeds_low"] <= values["seeds"] <= values["seeds_high"]


def test_the_last_row_is_another_seed_in_the_place_of_the_text(small: Dataset) -> None:
    run = run_of(small)
    texts, _ = strength.texts(run, "")
    table = strength.table(run, strength.ladder(run, texts)).set_index(["encoder", "text"])
    assert table.index[-1] == strength.NULL and len(table) == len(texts) + 1
    null = table.loc[strength.NULL]
    assert null["seeds"] == null["seeds_low"] == null["seeds_high"] == 0
    assert null["ratio"] == pytest.approx(1)  # each seed is once in either place


def test_nothing_is_chosen_by_test_items(small: Dataset, small_with_other_test: Dataset) -> None:
    orders = []
    for run in (run_of(small), run_of(small_with_other_test)):
        texts, _ = strength.texts(run, "")
        orders.append(list(strength.ladder(run, texts)))
    assert orders[0] == orders[1]


# Three users with one test item each; a list of one item finds it or not.
RELEVANT = sp.csr_matrix(np.eye(3, 6))


def lists(found: str) -> list[np.ndarray]:
    """Return one seed's lists of one item: "110" finds those of the first two users."""
    return [np.array([[u if c == "1" else 5] for u, c in enumerate(found)])]


def rung(semantic: str, fused: str) -> measures.Rankings:
    return measures.Rankings(
        lists(semantic), lists("110"), RELEVANT, np.zeros(6), np.zeros(6, int),
        nulls={"wide": lists("100")}, fused=lists(fused), control=lists("011"),
    )  # fmt: skip


def test_the_dose_by_hand() -> None:
    # base and control have two hits: ratios of 3/2 and 1/2, gains of 3/2 − 1 and 1/2 − 1
    found = measures.dose([rung("111", "111"), rung("001", "100")])
    values = {name: of.value for name, of in found.items() if not isinstance(of, Estimate)}
    assert values == pytest.approx({"strongest": 0.5, "slope": 1, "wide": 2, "threshold": 1})


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([0.2, 0.6, 1.0], [-1, -1, 1], 0.8),
        ([1.0, 0.2, 0.6], [1, -1, -1], 0.8),  # in any order
        ([0.2, 0.4, 0.6], [-1, 3, -1], 0.3),  # 3 and −1 are levelled at 1
        ([0.2, 0.6], [1, 2], 0.2),  # the smallest
        ([0.2, 0.6], [-2, -1], np.nan),
        ([0.2, 0.6], [2, -3], np.nan),
        ([0.2, np.nan], [2, 3], np.nan),
    ],
)
def test_where_a_fit_that_never_falls_passes_zero(
    x: list[float], y: list[float], expected: float
) -> None:
    assert measures.crossing(np.array([*x, *y])) == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.tuples(st.floats(0.1, 2), st.floats(-1, 1)), min_size=1, max_size=8))
def test_it_passes_zero_among_the_ratios_or_nowhere(points: list[tuple[float, float]]) -> None:
    x, y = map(np.array, zip(*points, strict=True))
    found = measures.crossing(np.concatenate([x, y]))
    ordered = y[np.argsort(x, kind="stable")]
    last = max(ordered[start:].mean() for start in range(len(x)))  # of the fit
    if np.isnan(found):
        assert last <= 1e-12
    else:
        assert last > -1e-12 and x.min() - 1e-12 <= found <= x.max() + 1e-12  # it is interpolated


def test_the_answer_says_from_where_or_that_it_is_not_reached() -> None:
    found = {("mpnet", "all"): None, ("tfidf", "title"): None}
    gains = {"strongest": Estimate(0.16, 0.1, 0.2, 9), "threshold": Estimate(0.7, 0.6, 0.8, 9)}
    said = strength.answer(found, gains)
    assert "from a ratio of 0.70 [0.60, 0.80]" in said and "+16.0 % [10.0, 20.0]" in said
    assert "mpnet, all" in said
    none = gains | {"strongest": Estimate(0.01, -0.02, 0.04, 9)}
    assert strength.answer(found, none).startswith("Fusion does not gain here: with")
