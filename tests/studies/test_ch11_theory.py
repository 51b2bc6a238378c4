"""Worlds by hand, and predictions that move as the model says."""

import numpy as np
import pandas as pd
import pytest

from companion.data import synthetic
from lib import cache
from lib.core import InputError
from lib.stats import Estimate
from studies import ch11_theory, ch11_worlds
from studies.concatenation import Vectors


def test_a_sum_of_standard_scores_by_hand() -> None:
    # the user's scores are 1 and 3, of standard deviation 1, and 0 and 8, of 4: 1 + 0 and 3 + 2
    views = [(np.array([[1.0]]), np.array([[1.0], [3.0]])),
             (np.array([[2.0]]), np.array([[0.0], [4.0]]))]  # fmt: skip
    users, items = ch11_theory.sum_of_standard_scores(views)
    assert (users @ items.T).tolist() == [[1.0, 5.0]]


@pytest.fixture(scope="module")
def predicted() -> dict[float, dict[str, Estimate]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ch11_theory, "LEVELS", (0.1, 0.5, 0.9, 1.0))
        patch.setattr(ch11_theory, "WORLDS", 3)
        return ch11_theory.predicted(20)


def test_predictions_move_as_the_model_says(predicted: dict[float, dict[str, Estimate]]) -> None:
    for name in ("jaccard", "oracle", "fusion", "over_seeds"):
        values = [of[name].mean for of in predicted.values()]
        assert values == sorted(values, reverse=name != "jaccard"), name
    # nothing private, and as noisy: two views are two replicates
    alike = predicted[1.0]["over_seeds"]
    assert alike.low < 0 < alike.high and abs(alike.mean) < 0.05


def test_noise_that_replicates_have_in_common_makes_their_fusion_worth_less(
    monkeypatch: pytest.MonkeyPatch, predicted: dict[float, dict[str, Estimate]]
) -> None:
    monkeypatch.setattr(ch11_theory, "LEVELS", (1.0,))
    monkeypatch.setattr(ch11_theory, "WORLDS", 3)
    common = ch11_theory.predicted(20, common=0.5)[1.0]
    assert common["jaccard_seeds"].low > predicted[1.0]["jaccard_seeds"].high
    assert common["over_seeds"].low > 0.03


def test_a_noisy_view_has_half_of_its_variance_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Vectors] = {}
    monkeypatch.setattr(
        ch11_theory.ch11_worlds, "world_table", lambda _, vectors, *more: seen.update(vectors)
    )
    ch11_theory.noisy_table(0.5, 0, 20, common=0.25)
    ideal = synthetic.world(shared=0.5, seed=0).ideal("collaborative")
    noise = {name: seen[name][1] - ideal.items for name in ("collaborative", "replicate")}
    for of in noise.values():
        assert of.var() == pytest.approx(ideal.items.var(), rel=0.1)
    correlation = np.corrcoef(*(of.ravel() for of in noise.values()))[0, 1]
    assert correlation == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("k", [0, 200])
def test_lists_out_of_bounds_are_one_sentence(k: int) -> None:
    with pytest.raises(InputError, match=f"k = {k} was given; give 1 to 199"):
        ch11_theory.predicted(k)


def test_pooled_measures_by_hand() -> None:
    table = pd.DataFrame(
        {
            "jaccard": [0.1, 0.3], "jaccard_seeds": [0.4, 0.6],
            "better": [0.4, 0.6], "better_seeds": [0.5, 0.3],
            "union": [0.8, 0.7], "union_seeds": [0.5, 0.5],
            "fused": [0.6, 0.6], "fused_seeds": [0.5, 0.5],
        }
    )  # fmt: skip
    found = {name: value.mean for name, value in ch11_worlds.pooled([table]).items()}
    assert found == pytest.approx(
        {
            "jaccard": 0.2, "jaccard_seeds": 0.5, "oracle": 0.5, "oracle_seeds": 0.25,
            "fusion": 0.2, "fusion_seeds": 0.25, "overlap": 0.3, "gain": 0.25, "benefit": -0.05,
            "over_seeds": 0.2,
        }
    )  # fmt: skip
    assert ch11_theory.over_worlds([table, table], "gain") == pytest.approx((0.25, 0.25, 0.25, 2))


NAMES = [f"{name}{mark}" for name in ("jaccard", "better", "union", "fused")
         for mark in ("", "_seeds")]  # fmt: skip


def test_a_union_is_never_below_its_better_list() -> None:
    table = ch11_theory.noisy_table(0.5, 0, 20)
    for mark in ("", "_seeds"):
        assert (table[f"union{mark}"].dropna() >= table[f"better{mark}"].dropna()).all()


def test_trained_worlds_are_cached(cache_folder: object, monkeypatch: pytest.MonkeyPatch) -> None:
    size = {"n_users": 60, "n_items": 60, "interactions": 8.0}
    one = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    assert len(one) == 60
    monkeypatch.setattr(ch11_worlds.views, "fit", None)
    two = ch11_worlds.trained_world(0.5, 1, k=5, **size)
    pd.testing.assert_frame_equal(one, two)


def test_an_interval_over_worlds_is_students() -> None:
    tables = [pd.DataFrame({name: [value] for name in NAMES}) for value in (0.1, 0.2, 0.6)]
    found = ch11_theory.over_worlds(tables, "jaccard")
    half = 4.302653 * np.sqrt(0.07) / np.sqrt(3)  # t of two degrees of freedom, 97.5 %
    assert found == pytest.approx((0.3, 0.3 - half, 0.3 + half, 3))


def test_the_figure_has_what_is_predicted_beside_what_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ch11_theory, "WORLDS", 1)
    names = [*ch11_theory.PANELS, "jaccard_seeds", "oracle_seeds", "fusion_seeds"]
    of = dict.fromkeys(names, Estimate(0.2, 0.1, 0.3, 9))
    table = ch11_theory.points({0.5: of, 1.0: of}, 20).groupby(["panel", "what"]).size()
    panels = list(ch11_theory.PANELS.values())
    assert (table[:, ch11_theory.PREDICTED] == 11).all()
    assert list(table[:, ch11_theory.COMMON].index) == panels[-1:]
    assert table[panels[0]].to_dict() == {
        ch11_theory.PREDICTED: 11, ch11_theory.TRAINED: 2, ch11_theory.SEEDS: 2,
    }  # fmt: skip
    assert table[panels[-1], ch11_theory.TRAINED] == 2


def test_number_of_worlds() -> None:
    assert ch11_theory.worlds_per_level(2) == {0.5: 2, 1.0: 2}
    assert ch11_theory.worlds_per_level(10)[0.3] == 2
    for wrong in (1, 201):
        with pytest.raises(InputError, match=f"worlds = {wrong}"):
            ch11_theory.worlds_per_level(wrong)


def test_how_results_are_shown_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read, source = set(), cache._source
    monkeypatch.setattr(cache, "_source", lambda path: read.add(path.name) or source(path))
    cache.code_version.cache_clear()
    cache.code_version(ch11_worlds)
    cache.code_version.cache_clear()
    assert "topk.py" in read and not read & {"chapter.py", "figures.py", "ch11_theory.py"}
