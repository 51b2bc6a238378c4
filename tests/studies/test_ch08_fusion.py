"""Chapter 8: how its methods are made, scored, chosen on validation and reported."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib import cache, claims, views
from lib.core import InputError
from lib.dataset import Dataset
from lib.encoders.training import Recipe
from lib.metrics import recall
from studies import ch08_methods, ch08_scores, ch08_tables
from studies.ch08_methods import Method, MethodLists, ViewSpec
from studies.ch08_scores import MethodScores
from studies.context import Run

EPOCHS = 1
GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 1, "k": 5,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip


def run_of(dataset: Dataset, **change: object) -> Run:
    return Run(dataset, GIVEN | change, epochs=EPOCHS)


@pytest.fixture(scope="module", autouse=True)
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let all tests here share the views that the first of them trains."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("COMPANION_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def run(small: Dataset) -> Run:
    return run_of(small)


@pytest.fixture(scope="module")
def scored(run: Run, one_cache: Path) -> dict[str, MethodScores]:
    return {one.method.name: one for one in ch08_scores.score(run, ch08_methods.methods())}


def test_every_method_gives_lists_that_mask_what_was_seen(run: Run) -> None:
    for method in ch08_methods.methods():
        made = method.make(run, 0)
        for part, seen in (("valid", run.dataset.train), ("test", run.dataset.seen)):
            lists = made.lists(part, 5)  # type: ignore[arg-type]
            assert lists.shape == (run.dataset.n_users, 5), method.name
            assert np.nansum(recall(lists, seen)) == 0, method.name
            longer = made.lists(part, 10)  # type: ignore[arg-type]
            # a shorter list is the start of a longer one: one evaluation serves all lengths
            np.testing.assert_array_equal(longer[:, :5], lists, err_msg=method.name)


def test_methods_have_names_of_their_own_and_stand_in_every_family() -> None:
    every = ch08_methods.methods()
    assert len({method.name for method in every}) == len(every)
    assert {method.family for method in every} == set(ch08_methods.FAMILIES)


def test_test_items_decide_nothing(
    run: Run, small_with_other_test: Dataset, scored: dict[str, MethodScores]
) -> None:
    names = [name for name, one in scored.items() if one.trials > 1]
    able = [method for method in ch08_methods.methods() if method.name in names]
    again = ch08_scores.score(run_of(small_with_other_test), able)
    for one in again:
        first = scored[one.method.name]
        assert (one.validation, one.chosen) == (first.validation, first.chosen), one.method.name
    for method in able:
        lists = [method.make(r, 0).lists("test", 5) for r in (run, run_of(small_with_other_test))]
        np.testing.assert_array_equal(*lists, err_msg=method.name)


def test_trials_are_counted(scored: dict[str, MethodScores]) -> None:
    trials = {name: one.trials for name, one in scored.items()}
    svd, ease = trials["truncated SVD"], trials["EASE"]
    assert trials["LightGCN"] == trials["norm-concat, equal weights"] == 1
    assert trials["norm-concat, weight on validation"] == 11
    assert trials["norm-concat, a weight per user"] == 11
    assert trials["norm-concat with SVD, weights on validation"] == 66 + svd - 1
    assert trials["RLMRec-Con"] == trials["SimGCL"] == trials["shared and private parts"] == 7
    views_own = svd - 1 + ease - 1 + trials["SimGCL"] - 1
    forward = trials["N views, chosen on validation"] - views_own
    assert forward > 0 and forward % len(ch08_methods.SINGLES) == 0


def test_dimensions_seconds_and_parameters_are_those_of_the_views(
    run: Run, scored: dict[str, MethodScores]
) -> None:
    dimensions = {name: one.dimensions for name, one in scored.items()}
    assert dimensions["norm-concat, equal weights"] == dimensions["Borda count"] == (64, 64)
    assert dimensions["norm-concat, LightGCN 128 and text 64"] == (64, 128)
    assert dimensions["norm-concat, 128 and 128"] == (128, 128)
    assert dimensions["joint norm-concat-norm"] == (32, 32)
    assert dimensions["two LightGCN seeds, 32 + 32"] == (32, 32)
    assert dimensions["RLMRec-Con, 192 dimensions"] == (192,)
    assert scored["EASE"].parameters == run.dataset.n_items**2
    assert np.isnan(scored["EASE"].seconds) and scored["popularity"].parameters == 0
    parts = (scored["text, projected"], scored["LightGCN"])
    both = scored["Borda count"]
    assert both.parameters == sum(one.parameters for one in parts)
    assert both.seconds == pytest.approx(sum(one.seconds for one in parts))


def test_values_are_by_seed_and_user(small: Dataset) -> None:
    able = [method for method in ch08_methods.methods() if method.name in ("random", "popularity")]
    drawn, fixed = sorted(ch08_scores.score(run_of(small, seeds=2), able), key=lambda m: -m.seeds)
    each = [ch08_scores.score(run_of(small, seed=s), able)[1] for s in (0, 1)]
    np.testing.assert_array_equal(drawn.recall, np.concatenate([one.recall for one in each]))
    assert drawn.validation == pytest.approx(np.mean([one.validation for one in each]))
    # what draws nothing has one seed
    assert (drawn.seeds, fixed.seeds) == (2, 1) and fixed.method.name == "popularity"


def test_other_methods_may_have_fewer_seeds(small: Dataset) -> None:
    names = ("LightGCN", "norm-concat, equal weights", "popularity", "joint norm-concat-norm",
             "LightGCN, 128 dimensions", "RLMRec-Con", "two LightGCN seeds, 64 + 64")  # fmt: skip
    able = [method for method in ch08_methods.methods() if method.name in names]
    two = run_of(small, seeds=2)
    found = ch08_scores.score(two, able, others=two.fewer(1).seeds)
    assert {one.method.name for one in found if one.seeds == 1} == {
        "LightGCN, 128 dimensions", "popularity",
    }  # fmt: skip
    with pytest.raises(InputError, match="others = 0"):
        two.fewer(0)


def test_rows_that_f8_compares_have_every_seed_and_stay_chosen(small: Dataset) -> None:
    names = ("norm-concat, 128 and 128", "norm-concat, equal weights", "AlphaRec",
             "LightGCN, 128 dimensions", "two LightGCN seeds, 64 + 64", "MF-BPR")  # fmt: skip
    able = [method for method in ch08_methods.methods() if method.name in names]
    run = run_of(small, seeds=2)
    found = ch08_scores.score(run, able, others=run.fewer(1).seeds)
    every = ch08_tables.every_seed(run, found)
    widths = (ch08_tables.TOTAL, ch08_tables.PER_VIEW)
    picked = [names_of(found, width) for width in widths]
    assert picked == [names_of(every, width) for width in widths]
    chosen = {name for of in picked for name in of.values()}
    for before, after in zip(found, every, strict=True):
        assert after.seeds == (2 if after.method.name in chosen else before.seeds)
        np.testing.assert_array_equal(after.recall[: before.seeds], before.recall)


def test_an_auxiliary_weight_is_chosen_on_the_first_seed(small: Dataset) -> None:
    run, spec = run_of(small, seeds=2), ch08_methods.ALIGNED["RLMRec-Con"]
    weights = ch08_methods.AUXILIARY[0][1]
    at_first = [run.view("rlmrec", 0, weight=w).info["validation"] for w in weights]
    best = weights[int(np.argmax(at_first))]
    for seed in (0, 1):
        view = ch08_methods.fitted(run, seed, spec)
        assert view.info["parameters"]["weight"] == best and view.info["seed"] == seed


def test_a_wider_model_takes_what_is_chosen_at_the_claims_dimension(run: Run) -> None:
    at_128, at_192 = (ch08_methods.ALIGNED[f"RLMRec-Con, {d} dimensions"] for d in (128, 192))
    chosen = ch08_methods.chosen_settings(run, at_128)
    assert ch08_methods.chosen_settings(run, at_192) == chosen | {"dimension": 192}
    view = ch08_methods.fitted(run, 0, at_192)
    assert view.items.shape[1] == 192 and view.info["parameters"]["weight"] == chosen["weight"]


@pytest.mark.parametrize(("fine", "trials"), [(True, 7), (False, 4)])
def test_every_alignment_chooses_from_as_many_weights(fine: bool, trials: int) -> None:
    specs = {spec for method in ch08_methods.methods(fine=fine) for spec in method.views}
    asked = [ch08_methods.alternatives(spec) for spec in specs if spec.grid]
    assert asked == [trials] * 7 and all(0.0 in spec.grid[0][1] for spec in specs if spec.grid)


def test_tuned_models_choose_one_setting_after_the_other_from_grids_of_one_size(
    small: Dataset,
) -> None:
    run, tuned = run_of(small), ch08_methods.methods(tune=True)
    specs = {spec for method in tuned for spec in method.views if spec.model in views.TRAINED}
    extra = {
        ch08_methods.alternatives(spec) - ch08_methods.alternatives(spec._replace(grid=aux))
        for spec in specs
        for aux in [tuple(row for row in spec.grid if row[0] == "weight")]
    }
    assert extra == {4}  # temperatures 2, rates 1 and decays 1 beyond the recipe's own
    for name, values in ch08_methods.TUNING:
        assert getattr(Recipe(), name) == values[0]

    def validation(**settings: float) -> float:
        return run.view("lightgcn", 0, **settings).info["validation"]

    best: dict[str, float] = {}
    for name, values in ch08_methods.TUNING:
        best[name] = max(values, key=lambda x: validation(**best | {name: x}))  # noqa: B023
    (method,) = (of for of in tuned if of.name == "LightGCN")
    assert ch08_methods.chosen_settings(run, *method.views) == best
    made = method.make(run, 0)
    assert made.trials == 5 and made.chosen.startswith(f"temperature {best['temperature']:g}, ")
    assert validation(**best) >= validation()


def test_n_views_are_at_least_as_good_on_validation_as_any_of_them(
    scored: dict[str, MethodScores],
) -> None:
    alone = max(scored[name].validation for name in ch08_methods.SINGLES)
    assert scored["N views, chosen on validation"].validation >= alone - 1e-9


def test_a_method_too_large_is_not_run_and_nothing_else_breaks(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, scored: dict[str, MethodScores]
) -> None:
    monkeypatch.setattr(ch08_methods, "MAX_BYTES", 1)
    wanted = ("EASE", "L3AE style", "LightGCN", "N views, chosen on validation")
    able = [method for method in ch08_methods.methods() if method.name in wanted]
    found = {one.method.name: one for one in ch08_scores.score(run_of(small), able)}
    for name in ("EASE", "L3AE style"):
        assert "GiB" in found[name].reason and not found[name].recall.size
    np.testing.assert_array_equal(found["LightGCN"].recall, scored["LightGCN"].recall)
    all_but_ease = [scored[name].dimensions[0] for name in ch08_methods.SINGLES if name != "EASE"]
    assert found["N views, chosen on validation"].dimensions == tuple(all_but_ease)
    table = ch08_tables.tidy_table(list(found.values()), found["LightGCN"])
    assert table["recall"].isna().sum() == 2
    shown = ch08_tables.as_text(table, 5)
    assert shown["validation"].str.startswith("not run: ").sum() == 2


def test_the_reference_methods_are_recipes() -> None:
    recipes = {}
    for method in ch08_methods.reference_methods():
        (spec,) = method.views
        defaults = dict(views.TRAINED[spec.model].defaults)
        recipes[method.name] = Recipe(**(defaults | dict(spec.settings))).checked()
    joint = recipes["joint norm-concat-norm, 128 dimensions"]
    assert joint.dimension == 128 and (joint.hardest, joint.negatives) == (256, 512)
    assert {name for name in recipes if name.startswith(ch08_tables.RIVALS)} == set(
        ch08_tables.RIVALS
    )
    for rival in ch08_tables.RIVALS:  # one backbone, loss and stopping rule
        recipe = recipes[rival]
        assert (recipe.loss, recipe.learning_rate, recipe.batch) == ("bpr", 1e-3, 2048)
        assert (recipe.select, recipe.patience, recipe.dimension) == ("ndcg", 10, 64)


def stand_in(
    name: str, family: str, validation: float, mean: float, *dimensions: int, seeds: int = 1,
    ndcg: float | None = None,
) -> MethodScores:  # fmt: skip
    """Return a method of 60 users whose recall is about ``mean``, and so is its NDCG."""
    noise = 0.01 * np.random.default_rng(len(name)).standard_normal((seeds, 60))
    made = MethodLists(lambda part, k: np.zeros((60, k), dtype=np.int32), (1,))
    method = Method(name, family, (ViewSpec("x"),) * len(dimensions), lambda *of: made)
    values = mean + noise, (mean if ndcg is None else ndcg) + noise
    return MethodScores(method, seeds, validation, *values, dimensions, trials=1)


@pytest.fixture
def few() -> list[MethodScores]:
    return [
        stand_in("a", ch08_methods.FUSION, 0.3, 0.2, 64, 64, seeds=3),
        stand_in("narrow", ch08_methods.FUSION, 0.1, 0.15, 32, 32),
        stand_in("wide", ch08_methods.FUSION, 0.5, 0.4, 128, 128),
        stand_in("one wide view", ch08_methods.FUSION, 0.6, 0.4, 64, 1349),
        stand_in("RLMRec-Con", ch08_methods.ALIGNMENT, 0.1, 0.1, 64, seeds=2),
        stand_in("RLMRec-Con, wide", ch08_methods.ALIGNMENT, 0.3, 0.3, 192),
        stand_in("aligned, far too wide", ch08_methods.ALIGNMENT, 0.4, 0.5, 1349),
        stand_in("LightGCN", ch08_methods.SINGLE, 0.1, 0.12, 64),
        stand_in("seeds, 64", ch08_methods.NULL, 0.6, 0.15, 32, 32),
        stand_in("seeds, 128", ch08_methods.NULL, 0.1, 0.15, 64, 64),
        stand_in("seeds, 256", ch08_methods.NULL, 0.1, 0.35, 128, 128),
        stand_in("popular", ch08_methods.NULL, 0.1, 0.05, 1),
    ]


def names_of(scores: list[MethodScores], width: ch08_tables.Width) -> dict[str, str]:
    return {what: one.method.name for what, one in ch08_tables.compared(scores, width).items()}


def test_rows_are_chosen_on_validation_within_a_width(few: list[MethodScores]) -> None:
    assert names_of(few, ch08_tables.TOTAL) == {
        "fusion": "a", "alignment": "RLMRec-Con", "single": "LightGCN", "seeds": "seeds, 128",
    }  # fmt: skip
    assert names_of(few, ch08_tables.PER_VIEW) == {
        "fusion": "wide", "alignment": "RLMRec-Con", "single": "LightGCN", "seeds": "seeds, 256",
    }  # fmt: skip
    by = ch08_tables.by_convention(few, 5)
    assert list(by["fusion"]) == ["narrow", "a", "a", "a", "wide", "one wide view"]
    rlmrec, wide, widest = "RLMRec-Con", "RLMRec-Con, wide", "aligned, far too wide"
    assert list(by["alignment"]) == [rlmrec, rlmrec, wide, rlmrec, rlmrec, widest]
    with pytest.raises(InputError, match="at most 8 dimensions"):
        ch08_tables.best_method(few, ch08_tables.Width(sum, 8), ch08_methods.FUSION)


def test_f8_holds_only_at_both_widths_and_in_both_metrics(few: list[MethodScores]) -> None:
    found = ch08_tables.f8_measures(few)
    assert list(found) == list(claims.load()["F8"].measures)
    assert found["advantage"].mean == pytest.approx(1.0, abs=0.1)
    assert found["per_view"].mean == pytest.approx(3.0, abs=0.3)
    assert claims.judge("F8", found).word == claims.HOLDS
    first, _, wide, *rest = few
    for metric in ("recall", "ndcg"):
        low = {metric: getattr(wide, metric) / 8}
        for one in ([replace(first, **low), wide], [first, replace(wide, **low)]):
            found = ch08_tables.f8_measures([*one, *rest])
            assert claims.judge("F8", found).word == claims.PARTLY
    lost = [replace(one, ndcg=one.ndcg / 8) for one in (first, wide)]
    assert claims.judge("F8", ch08_tables.f8_measures([*lost, *rest])).word == claims.FAILS


def test_seeds_are_resampled_with_the_users(few: list[MethodScores]) -> None:
    same = stand_in("a", ch08_methods.FUSION, 0.3, 0.2, 64, 64)
    apart = replace(same, recall=same.recall + np.array([[-0.05], [0.0], [0.05]]))
    widths = [ch08_tables.f8_measures([of, *few[1:]])["single"] for of in (same, apart)]
    assert widths[1].mean == pytest.approx(widths[0].mean)
    assert widths[1].high - widths[1].low > 2 * (widths[0].high - widths[0].low)
    ours, theirs = ch08_tables.pair(few[0], few[4])  # of three seeds and of two
    assert len(ours) == len(theirs) == 2
    assert [len(x) for x in ch08_tables.pair(few[0], few[5])] == [3, 1]


def test_a4_is_the_share_of_the_gain_that_budget_makes(few: list[MethodScores]) -> None:
    reference = [
        stand_in("joint", ch08_methods.FUSION, 0.3, 0.2, 64, 64),
        stand_in("RLMRec-Con", ch08_methods.ALIGNMENT, 0.2, 0.1, 64),
        stand_in("LightGCN", ch08_methods.SINGLE, 0.1, 0.05, 64),
        stand_in("AlphaRec", ch08_methods.ALIGNMENT, 0.9, 0.3, 64),  # no opponent in A4
    ]
    now = [replace(few[0], recall=few[0].recall * 1.1), few[1], *few[4:]]
    found = ch08_tables.a4_measures(now, reference)
    ratios = [a.recall.mean() / b.recall.mean() for a, b in ((reference[0], reference[1]),
                                                             (now[0], few[4]))]  # fmt: skip
    assert found["reference"].mean == pytest.approx(ratios[0] - 1)
    assert found["share"].mean == pytest.approx(1 - np.log(ratios[1]) / np.log(ratios[0]), abs=0.02)
    off = ch08_tables.a4_measures(few, [])
    assert claims.judge("A4", off).word == claims.UNTESTABLE


def test_the_table_sets_every_method_beside_one(few: list[MethodScores]) -> None:
    table = ch08_tables.tidy_table(few, few[7]).set_index("what")
    assert np.isnan(table.loc["LightGCN", "p"]) and table.loc["LightGCN", "gain"] == 0
    assert table.loc["wide", "gain"] == pytest.approx(0.4 / 0.12 - 1, rel=0.05)
    assert table.loc["wide", "gain_low"] < table.loc["wide", "gain"]
    corrected = table["p_holm"].dropna()
    assert len(corrected) == len(few) - 1 and (corrected >= table["p"].dropna()).all()
    families = list(table["family"])
    assert families == sorted(families, key=ch08_methods.FAMILIES.index)
    fusions = table.loc[table["family"] == ch08_methods.FUSION, "validation"]
    assert fusions.is_monotonic_decreasing
    assert table.loc["a", "dimension"] == "64 + 64" and table.loc["a", "seeds"] == 3


def test_the_figure_has_the_best_rows_and_those_compared(few: list[MethodScores]) -> None:
    few[0] = replace(few[0], chosen=("linear 0.3", "linear 0.4"))
    table = ch08_tables.tidy_table(few, few[7])
    rows = ch08_tables.drawn(table, few, most=2)
    assert set(rows["what"]) == {
        "a", "wide", "RLMRec-Con", "LightGCN", "seeds, 128", "seeds, 256",
    } | {"one wide view", "seeds, 64"}  # fmt: skip
    assert (rows["mean"] == rows["gain"]).all()
    shown = ch08_tables.as_text(table, 5)
    assert {"Recall@5", "NDCG@5", "p (Holm)", "trials"} <= set(shown.columns)
    assert shown.loc[(ch08_methods.FUSION, "a"), "chosen"] == "linear 0.3; linear 0.4"


def test_a_learning_curve_says_where_and_why_training_stopped(run: Run) -> None:
    curve, popular, words = ch08_tables.learning_curve(run)
    assert list(curve["epoch"]) == [1.0] and 0 < popular < 1
    assert "stopped after epoch 1, because it was given no more" in words


def test_how_results_are_shown_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    read, source = set(), cache._source
    monkeypatch.setattr(cache, "_source", lambda path: read.add(path.name) or source(path))
    cache.code_version.cache_clear()
    cache.code_version(ch08_scores)
    cache.code_version.cache_clear()
    assert "topk.py" in read and not read & {"chapter.py", "figures.py", "ch08_tables.py"}


def test_a_weight_of_nought_or_one_leaves_one_view(run: Run) -> None:
    table = ch08_tables.by_weight(run).set_index(["what", "weight"])["mean"]
    alone = {
        name: np.nanmean(recall(run.lists(model, seed), run.dataset.test))
        for name, model, seed in (
            ("first", "lightgcn", 0), ("text", "linear", 0), ("second seed", "lightgcn", 1)
        )
    }  # fmt: skip
    for name in ("text", "second seed"):
        of_weights = table[f"LightGCN and {name}"]
        assert len(of_weights) == 11
        assert of_weights[0.0] == pytest.approx(alone["first"])
        assert of_weights[1.0] == pytest.approx(alone[name])
