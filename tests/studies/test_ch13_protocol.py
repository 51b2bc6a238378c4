"""The choices of protocol on a small world: each does what it says, and nothing else."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from companion import figures
from companion.consistency import PROTOCOL
from lib import claims
from lib.dataset import Dataset
from lib.encoders.training import Recipe
from lib.metrics import by_count, recall
from lib.probes import splits as item_splits
from lib.probes.scores import Totals
from lib.stats import Estimate
from studies import ch06_probes, ch13_effects, concatenation, measures
from studies import ch13_protocol as report
from studies.ch13_effects import CHOICES, EFFECTS, FINDINGS, FUSION, Audit, effects
from studies.context import Run

GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip
BY_NAME = {choice.name: choice for choice in CHOICES}


def audit_of(dataset: Dataset, **parameters: int) -> Audit:
    return Audit(Run(dataset, GIVEN | parameters, epochs=2))


@pytest.fixture(scope="module")
def audit(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield audit_of(small)


@pytest.fixture(scope="module")
def found(audit: Audit) -> pd.DataFrame:
    return effects(audit)


def test_the_choices_are_the_thirteen_weak_points_and_each_is_realised() -> None:
    assert len(CHOICES) == 13
    assert list(EFFECTS) == [choice.name for choice in CHOICES]
    assert set(report.SHORT) == set(FINDINGS) <= {*claims.load(), FUSION} - {"F8"}
    for choice in CHOICES:
        assert set(choice.findings) <= set(FINDINGS), choice.name
        for settings in (choice.linear, choice.lightgcn):
            Recipe(**settings).checked()


def test_the_table_has_a_row_for_each_finding_that_a_choice_touches(found: pd.DataFrame) -> None:
    rows = found.groupby("choice")["finding"].agg(set)
    assert {name: set(BY_NAME[name].findings) for name in rows.index} == dict(rows)
    assert len(rows) == len(CHOICES) and not found.duplicated(["choice", "finding"]).any()
    defined = found.dropna(subset=["ours", "reference"])
    np.testing.assert_allclose(
        defined["difference"], defined["reference"] - defined["ours"], atol=1e-9
    )
    assert set(found["word"]) <= set(claims.VERDICTS)


def test_left_out_is_what_needs_a_model_of_its_own(audit: Audit, found: pd.DataFrame) -> None:
    quick = effects(audit, retrain=False)
    left = {choice.name for choice in CHOICES} - set(quick["choice"])
    assert left == {choice.name for choice in CHOICES if choice.retrains}
    same = found[found["choice"].isin(quick["choice"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(quick, same)
    _, texts, _ = report.cells(quick)
    assert (texts.loc["model selection"] == "left out").all()
    assert texts.loc["no null", "F1"] == "" and "→" in texts.loc["no null", "F2"]


def test_masking_lets_validation_items_in_and_training_items_never(audit: Audit) -> None:
    data = audit.run.dataset
    views = [audit.views(0)]
    loose = audit.rankings(views, data.train)
    for lists in (*loose.semantic, *loose.collaborative, *loose.fused):
        assert np.nansum(recall(lists, data.valid)) > 0
        assert np.nansum(recall(lists, data.train)) == 0
    strict = audit.rankings(views)
    assert np.nansum(recall(strict.fused[0], data.seen)) == 0


def test_the_first_item_is_never_recommended_where_it_is_masked(audit: Audit) -> None:
    masked: list[np.ndarray] = []

    class Watched(Audit):
        def rankings(self, views, mask=None):  # type: ignore[no-untyped-def]
            made = super().rankings(views, mask)
            masked.extend([*made.semantic, *made.collaborative] if mask is not None else [])
            return made

    ch13_effects.without_first_item(Watched(audit.run), BY_NAME["the first item"])
    assert len(masked) == 2 and all((lists != 0).all() for lists in masked)
    assert any((lists == 0).any() for lists in audit.plain.semantic)


def test_two_halves_add_up_to_the_joint_model(audit: Audit) -> None:
    joint = audit.run.view("joint", 0, **ch13_effects.HALVES)
    halves = ch13_effects.split_joint(joint)
    scores = sum(half.users @ half.items.T for half in halves)
    torch.testing.assert_close(scores, joint.users @ joint.items.T)
    for half in halves:
        torch.testing.assert_close(
            half.items.norm(dim=1), torch.full((audit.run.dataset.n_items,), 0.5**0.5)
        )
    even = concatenation.even_concat(halves)
    np.testing.assert_array_equal(audit.lists(even), audit.lists(joint))


def test_concatenation_is_the_mean_of_the_cosines(audit: Audit, found: pd.DataFrame) -> None:
    views, seen = audit.views(0), audit.run.dataset.seen
    lists = ch13_effects.mean_of_cosines(audit, 0)
    weights = concatenation.best_concat(audit.run.dataset, views).info["weights"]
    cosines = [
        torch.nn.functional.cosine_similarity(v.users[:, None], v.items[None], dim=2).numpy()
        for v in views
    ]
    dense = np.where(seen.toarray() > 0, -np.inf, np.average(cosines, axis=0, weights=weights))
    for user, row in enumerate(dense):
        np.testing.assert_allclose(row[lists[user]], np.sort(row)[::-1][:5], atol=1e-6)
    np.testing.assert_array_equal(lists, audit.plain.fused[0])
    rows = found[found["choice"] == "concatenation or mean"]
    assert (rows[["difference", "moved"]] == 0).all(axis=None)


def test_lists_that_run_out_of_items_end_in_none(audit: Audit) -> None:
    data = audit.run.dataset
    lists = ch13_effects.mean_of_cosines(audit_of(data, k=data.n_items), 0)
    held = (lists >= 0).sum(axis=1)
    np.testing.assert_array_equal(held, data.n_items - np.diff(data.seen.indptr))


def test_a_longer_list_is_no_worse_and_so_the_gain_over_it_is_smaller(found: pd.DataFrame) -> None:
    (row,) = found[found["choice"] == "an oracle with more items"].itertuples()
    assert row.finding == "F5" and row.ours <= row.reference and row.reference >= 0


def test_counts_of_the_reference_hold_all_interactions(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, given = audit.run.dataset, []
    strata = ch13_effects.quantile_strata
    monkeypatch.setattr(
        ch13_effects, "quantile_strata", lambda counts: given.append(counts) or strata(counts)
    )
    ch13_effects.counting_all(audit, BY_NAME["what popularity counts"])
    (every,) = given
    assert every.sum() == data.train.nnz + data.valid.nnz + data.test.nnz
    assert (every >= audit.plain.counts).all()


def test_the_farthest_seed_is_shown_and_one_seed_has_none(
    audit: Audit, small: Dataset, found: pd.DataFrame
) -> None:
    rows = found[found["choice"] == "one seed"].set_index("finding")
    for name, row in rows.iterrows():
        seeds = np.array([side.headline.value for side in audit.each_seed(name)])
        if not np.isfinite(seeds).all():  # a view that finds no cold item has no gain over it
            assert not np.isfinite(row["reference"])
            continue
        assert len(seeds) == 2 and np.isclose(seeds, row["reference"]).any()
        apart = np.abs(seeds - row["ours"]).max()
        assert abs(row["reference"] - row["ours"]) == pytest.approx(apart, abs=1e-9)
    alone = audit_of(small, seeds=1)
    assert ch13_effects.farthest_seed(alone, BY_NAME["one seed"]) == {}


def test_the_full_rule_judges_where_the_null_is_left_out(audit: Audit, found: pd.DataFrame) -> None:
    rows = found[found["choice"] == "no null"].set_index("finding")
    for name, row in rows.iterrows():
        side = audit.side(name)
        assert row["reference"] == pytest.approx(side.headline.value)
        assert row["ours"] == pytest.approx(side.headline.value - side.measures["seeds"].value)
        assert row["reference_word"] in (claims.HOLDS, claims.FAILS)
        if row["word"] != claims.FAILS:
            assert row["reference_word"] == claims.HOLDS


def test_test_items_never_reach_the_lists(audit: Audit, small_with_other_test: Dataset) -> None:
    other = audit_of(small_with_other_test)
    for side in ("semantic", "collaborative", "fused"):
        for ours, theirs in zip(
            getattr(audit.plain, side), getattr(other.plain, side), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_the_words_name_what_changes_and_hold_no_number(found: pd.DataFrame) -> None:
    words = re.sub(r"F\d+b?", "", report.verdict(found))
    assert not re.search(r"\d", words)
    row = found.iloc[[0]].assign(
        choice="no null", finding="F3", word=claims.EXPLAINED, reference_word=claims.HOLDS
    )
    same = found.iloc[[0]].assign(word=claims.FAILS, reference_word=claims.FAILS)
    text = report.verdict(pd.concat([row, same]))
    assert "**no null**: F3 from *holds, but a null explains it* to *holds*" in text
    assert "change no verdict: masking at test." in text
    assert "Left out of this run: model selection" in text


def test_beyond_the_seeds_is_what_is_clear_and_larger(found: pd.DataFrame) -> None:
    row = found[found["choice"] == "one seed"].iloc[[0]]

    def moved(choice: str, difference: float, low: float, high: float) -> pd.DataFrame:
        return row.assign(
            choice=choice, difference=difference, difference_low=low, difference_high=high
        )

    rows = [
        moved("one seed", -0.2, -0.3, 0.1), moved("masking at test", 0.3, 0.1, 0.5),
        moved("the first item", 0.5, -0.1, 0.9), moved("no null", -0.5, -0.7, -0.1),
    ]  # fmt: skip
    assert report.beyond_seeds(pd.concat(rows)) == {"no null": [row["finding"].iloc[0]]}
    assert report.beyond_seeds(pd.concat(rows[1:])) == {}


def test_the_figure_writes_the_cells_and_frames_what_changes(found: pd.DataFrame) -> None:
    moved, texts, framed = report.cells(found)
    figure = figures.heatmap(
        moved, texts, title="T", xlabel="X", label="half-widths", limit=3, framed=framed
    )
    axis, bar = figure.axes
    assert axis.get_xlabel() == "X" and bar.get_xlabel() == "half-widths"
    cells = sorted(axis.texts, key=lambda text: text.get_position()[::-1])
    assert [text.get_text() for text in cells] == list(texts.to_numpy().ravel())
    changed = int((found["word"] != found["reference_word"]).sum())
    assert len(axis.patches) == 2 * changed == 2 * int(framed.to_numpy().sum())


def test_tables_say_every_number_with_its_interval(found: pd.DataFrame) -> None:
    words = report.in_words(found)
    assert len(words) == len(found) and words["ours"].str.contains(r"\[|–").all()
    assert list(report.described().index) == list(BY_NAME)
    assert list(report.units().index) == list(FINDINGS)


def test_equal_budgets_are_reached_step_by_step(audit: Audit, found: pd.DataFrame) -> None:
    steps = report.budgets(audit).set_index("what")["mean"]
    row = found[(found["choice"] == "unequal budgets") & (found["finding"] == FUSION)].iloc[0]
    assert len(steps) == 4
    assert steps.iloc[0] == pytest.approx(row["reference"])
    assert steps.iloc[-1] == pytest.approx(row["ours"])


def test_a_choice_that_changes_nothing_has_moved_nothing(audit: Audit) -> None:
    idle = replace(BY_NAME["model selection"], linear={}, lightgcn={})
    compared = ch13_effects.trained_again(audit, idle)
    assert set(compared) == set(FINDINGS)
    for name, both in compared.items():
        apart = ch13_effects.difference(both.ours.headline, both.reference.headline)
        assert apart[:3] == (0, 0, 0), name


def test_our_side_is_what_the_chapters_publish(audit: Audit) -> None:
    run, record = audit.run, audit.record()
    assert set(record) == set(FINDINGS) - {FUSION}
    lists = measures.rankings(run, "seeds", "other", "longer", "popularity")
    for finding in ("F1", "F2", "F3", "F3b", "F4", "F5"):
        assert record[finding] == measures.measure(finding, lists), finding
    semantic, collaborative = run.views("linear"), run.views("lightgcn")
    twins = zip(collaborative, run.views("lightgcn", second=True), strict=True)
    pairs = zip(semantic, collaborative, strict=True)
    fused = [concatenation.best_concat(run.dataset, pair) for pair in pairs]
    control = [concatenation.even_concat(pair) for pair in twins]
    found = replace(
        measures.rankings(run),
        fused=[run.lists_of(view) for view in fused],
        control=[run.lists_of(view) for view in control],
    )
    assert record["F9"] == measures.measure("F9", found)
    for finding, of in record.items():
        named = [name for name in claims.load()[finding].measures if name != "recall"]  # 06 alone
        assert list(of) == named, finding


def test_our_probes_are_those_of_their_chapter(audit: Audit) -> None:
    run = replace(audit.run, parameters=audit.run.parameters | {"epochs": 2, "wide_items": 0})
    split = item_splits.random(run.dataset.n_items, seed=ch06_probes.SPLIT_SEED)
    tables = [
        ch06_probes.probe_table(
            run, ch06_probes.vectors(run, seed), ch06_probes.PROJECTED, "ridge", split
        )
        for seed in run.seeds
    ]
    table = pd.concat(tables).query("score == 'R²'")
    by_seed = ch06_probes.by_seed
    expected = measures.measure(
        "F6",
        reached=by_seed(table, "reached", source="text"),
        text=by_seed(table, source="text"),
        permuted=by_seed(table, source="permuted"),
        seeds=by_seed(table, source="second seed"),
    )
    assert audit.record()["F6"] == expected


def test_the_page_leaves_our_side_for_machines_to_read(audit: Audit, found: pd.DataFrame) -> None:
    bundle = report.bundle(audit, found)
    record = json.loads(json.dumps(bundle[PROTOCOL], allow_nan=False))
    assert record["parameters"]["k"] == 5 and record["dataset"] == audit.run.dataset.name
    for finding, of in audit.record().items():
        for name, value in of.items():
            kept = [np.nan if x is None else x for x in record["measures"][finding][name]]
            np.testing.assert_array_equal(kept, value)
    assert "<table" in bundle["text/html"]


def test_a_difference_is_paired_and_each_side_keeps_its_own_users() -> None:
    nan = np.nan
    ours = measures.gain(np.array([0.4, 0.2, nan]), np.array([0.2, 0.2, nan]))
    other = measures.gain(np.array([nan, 0.2, 0.3]), np.array([nan, 0.2, 0.1]))
    apart = ch13_effects.difference(ours, other)
    assert apart.mean == pytest.approx(0.5 / 0.3 - 0.6 / 0.4) and apart.n == 3
    assert ch13_effects.difference(ours, ours)[:3] == (0, 0, 0)
    minus = ch13_effects.minus(ours, Totals(ours.columns, np.divide))
    assert measures.estimate(minus).mean == pytest.approx(-1)


def test_a_word_is_that_of_the_first_part_of_the_rule() -> None:
    low, high = Estimate(0.2, 0.1, 0.3, 9), Estimate(0.6, 0.55, 0.7, 9)
    none = Estimate(np.nan, np.nan, np.nan, 0)
    word = ch13_effects.word
    assert word("F2", {"jaccard": low, "seeds": none}) == claims.HOLDS
    assert word("F2", {"jaccard": high}) == claims.FAILS
    assert word("F2", {"jaccard": none}) == claims.UNTESTABLE
    assert word(FUSION, {"gain": low}) == claims.HOLDS
    gains = {"cold": high, "mid": low, "hot": low, "tail": high}
    assert word("F9", gains) == claims.HOLDS
    assert word("F9", gains | {"cold": none}) == claims.UNTESTABLE


def test_strata_by_rank_are_exact_and_by_quantile_follow_ties() -> None:
    counts = np.array([1, 1, 1, 1, 1, 5, 5, 9, 9, 9])
    ours, reference = by_count(counts), ch13_effects.quantile_strata(counts)
    np.testing.assert_array_equal(np.bincount(ours), [6, 2, 2])
    assert (ours[:5] == 0).all() and (ours[7:] >= 1).all()
    np.testing.assert_array_equal(reference, [0] * 7 + [1] * 3)


def test_an_interval_of_no_width_measures_no_change() -> None:
    def side(value: float) -> ch13_effects.Side:
        score = measures.mean(np.full(9, value))
        return ch13_effects.Side({name: score for name in ("jaccard", "seeds", "other")}, score)

    row = ch13_effects._row("F2", ch13_effects.Comparison(side(0.5), side(0.25)))
    assert row["difference"] == -0.25 and np.isnan(row["moved"])
