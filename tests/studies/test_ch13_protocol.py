"""The choices of protocol on a small world: each does what it says, and nothing else."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from companion import figures
from lib import claims
from lib.core import InputError
from lib.dataset import Dataset
from lib.diagnostics import neighbourhood_preservation
from lib.encoders.training import Recipe
from lib.metrics import recall
from studies import ch13_choices, ch13_effects
from studies import ch13_protocol as report
from studies.ch13_choices import CHOICES, FINDINGS
from studies.ch13_effects import REALISED, Bench, table
from studies.context import Run

GIVEN = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "device": "cpu",
}  # fmt: skip
BY_NAME = {choice.name: choice for choice in CHOICES}


def bench_of(dataset: Dataset, **parameters: int) -> Bench:
    run = Run(dataset, GIVEN | parameters)
    return Bench(run, 2)


@pytest.fixture(scope="module")
def bench(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield bench_of(small)


@pytest.fixture(scope="module")
def found(bench: Bench) -> pd.DataFrame:
    return table(bench)


def test_the_choices_are_the_thirteen_weak_points_and_each_is_realised() -> None:
    assert [choice.number for choice in CHOICES] == list(range(1, 14))
    assert list(REALISED) == [choice.name for choice in CHOICES]
    assert set(ch13_choices.SHORT) == set(FINDINGS) <= set(claims.load())
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


def test_left_out_is_what_needs_a_model_of_its_own(bench: Bench, found: pd.DataFrame) -> None:
    quick = table(bench, retrain=False)
    left = {choice.name for choice in CHOICES} - set(quick["choice"])
    assert left == {choice.name for choice in CHOICES if choice.fits}
    same = found[found["choice"].isin(quick["choice"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(quick, same)
    texts = report.texts(quick)
    assert (texts.loc["model selection"] == "left out").all()
    assert texts.loc["no null", "F1"] == "" and "→" in texts.loc["no null", "F2"]


def test_masking_lets_validation_items_in_and_training_items_never(bench: Bench) -> None:
    data = bench.run.dataset
    views = [bench.views(0)]
    loose = bench.evidence(views, data.train)
    for lists in (*loose.semantic, *loose.collaborative, *loose.fused):
        assert np.nansum(recall(lists, data.valid)) > 0
        assert np.nansum(recall(lists, data.train)) == 0
    strict = bench.evidence(views)
    assert np.nansum(recall(strict.fused[0], data.seen)) == 0


def test_the_first_item_is_never_recommended_where_it_is_masked(bench: Bench) -> None:
    masked: list[np.ndarray] = []

    class Watched(Bench):
        def evidence(self, views, mask=None):  # type: ignore[no-untyped-def]
            made = super().evidence(views, mask)
            masked.extend([*made.semantic, *made.collaborative] if mask is not None else [])
            return made

    ch13_effects.without_first_item(Watched(bench.run, bench.epochs), BY_NAME["the first item"])
    assert len(masked) == 2 and all((lists != 0).all() for lists in masked)
    assert any((lists == 0).any() for lists in bench.plain.semantic)


def test_two_halves_add_up_to_the_joint_model(bench: Bench) -> None:
    joint = bench.view("joint", 0, **ch13_choices.HALVES)
    halves = ch13_effects.split_joint(joint)
    scores = sum(half.users @ half.items.T for half in halves)
    torch.testing.assert_close(scores, joint.users @ joint.items.T)
    for half in halves:
        torch.testing.assert_close(
            half.items.norm(dim=1), torch.full((bench.run.dataset.n_items,), 0.5**0.5)
        )
    collaborative, semantic = halves
    made = bench.evidence([(semantic, collaborative)])
    np.testing.assert_array_equal(made.fused[0], bench.lists(joint))


def test_concatenation_is_the_mean_of_the_cosines(bench: Bench, found: pd.DataFrame) -> None:
    views, seen = bench.views(0), bench.run.dataset.seen
    lists, largest = ch13_effects.mean_of_cosines(views, 5, seen)
    cosines = [
        torch.nn.functional.cosine_similarity(v.users[:, None], v.items[None], dim=2).numpy()
        for v in views
    ]
    dense = np.where(seen.toarray() > 0, -np.inf, np.mean(cosines, axis=0))
    for user, row in enumerate(dense):
        np.testing.assert_allclose(row[lists[user]], np.sort(row)[::-1][:5], atol=1e-6)
    assert 0 <= largest < 1e-6
    np.testing.assert_array_equal(lists, bench.plain.fused[0])
    rows = found[found["choice"] == "concatenation or mean"]
    assert (rows[["difference", "moved"]] == 0).all(axis=None)


def test_lists_that_run_out_of_items_end_in_none(bench: Bench) -> None:
    data = bench.run.dataset
    lists, _ = ch13_effects.mean_of_cosines(bench.views(0), data.n_items, data.seen)
    held = (lists >= 0).sum(axis=1)
    np.testing.assert_array_equal(held, data.n_items - np.diff(data.seen.indptr))


def test_a_longer_list_is_no_worse_and_an_oracle_no_worse_than_its_views(bench: Bench) -> None:
    plain = bench.plain
    longer = ch13_effects.recall_of_longer(bench)
    assert (longer >= plain.recalls(plain.better()))[~np.isnan(longer)].all()
    behind = report.details(bench, retrain=False).set_index("what")["mean"]
    halves = [behind.get(f"recall of its {name} half") for name in ("semantic", "collaborative")]
    assert halves == [None, None]  # left out with the models of their own
    better, union = (
        behind[f"recall of the {name} items"]
        for name in ("better view, K", "union, up to 2K")
    )  # fmt: skip
    assert better <= behind["recall of the best K items of the union"] <= union


def test_counts_of_the_reference_hold_all_interactions(bench: Bench) -> None:
    data = bench.run.dataset
    every = ch13_effects.everything(bench.run)
    assert every.sum() == data.train.nnz + data.valid.nnz + data.test.nnz
    assert (every >= bench.plain.counts).all()


def test_the_farthest_seed_is_shown_and_one_seed_has_none(
    bench: Bench, small: Dataset, found: pd.DataFrame
) -> None:
    rows = found[found["choice"] == "one seed"].set_index("finding")
    behind = report.details(bench, retrain=False).set_index("what")["mean"]
    for name, row in rows.iterrows():
        seeds = behind[[f"{name}: seed 0", f"{name}: seed 1"]]
        assert row["reference"] in list(seeds)
        assert abs(row["reference"] - row["ours"]) == pytest.approx(
            (seeds - row["ours"]).abs().max(), abs=1e-9
        )
    alone = bench_of(small, seeds=1)
    assert ch13_effects.farthest_seed(alone, BY_NAME["one seed"]) == {}


def test_the_full_rule_judges_where_the_null_is_left_out(bench: Bench, found: pd.DataFrame) -> None:
    rows = found[found["choice"] == "no null"].set_index("finding")
    behind = report.details(bench, retrain=False).set_index("what")["mean"]
    for name, row in rows.iterrows():
        views, twin = (behind[f"{name}: {w}"] for w in ("text and LightGCN", "two LightGCN seeds"))
        assert row["reference"] == pytest.approx(views)
        assert row["ours"] == pytest.approx(views - twin)
        assert row["reference_word"] in (claims.HOLDS, claims.FAILS)
        if row["word"] != claims.FAILS:
            assert row["reference_word"] == claims.HOLDS


def test_test_items_never_reach_the_lists(bench: Bench, small_with_other_test: Dataset) -> None:
    other = bench_of(small_with_other_test)
    for side in ("semantic", "collaborative", "fused"):
        for ours, theirs in zip(
            getattr(bench.plain, side), getattr(other.plain, side), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_dropping_the_first_column_counts_an_item_as_its_own_neighbour_where_two_agree() -> None:
    draw = np.random.default_rng(0)
    x, y = draw.standard_normal((30, 4)), draw.standard_normal((30, 4))
    np.testing.assert_array_equal(
        report.first_column_dropped(x, y, 5), neighbourhood_preservation(x, y, 5)
    )
    # items 0 and 1 point the same way, so that item 0 stands first in the list of item 1 as well
    twins = np.array([[1.0, 0], [2, 0], [0, 1]])
    apart = np.array([[1.0, 0.1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(neighbourhood_preservation(twins, apart, 1), [1, 1, 1])
    np.testing.assert_array_equal(report.first_column_dropped(twins, apart, 1), [1, 0, 1])
    with pytest.raises(InputError, match="at least 1"):
        report.first_column_dropped(x, y, 0)


def test_the_words_name_what_changes_and_hold_no_number(found: pd.DataFrame) -> None:
    words = re.sub(r"F\d+b?", "", report.verdict(found))
    assert not re.search(r"\d", words)
    row = found.iloc[[0]].assign(
        choice="no null", finding="F3", word=claims.EXPLAINED, reference_word=claims.HOLDS
    )
    same = found.iloc[[0]].assign(word=claims.FAILS, reference_word=claims.FAILS)
    text = report.verdict(pd.concat([row, same]))
    assert "**no null**: F3 from *holds, but a null explains it* to *holds*" in text
    assert "change no word: masking at test." in text
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


def test_the_movers_stand_by_size_with_another_seed_beside_them(found: pd.DataFrame) -> None:
    moved = report.movers(found, most=4)
    sizes = moved.loc[~moved["null"], "mean"].abs()
    assert len(sizes) == 4 and sizes.is_monotonic_decreasing
    names = moved["what"].str.removesuffix(" *")
    asked = {name.split(": ")[0] for name in names[~moved["null"]]}
    assert set(names[moved["null"]]) == {f"{name}: one seed" for name in asked}
    assert not names.str.endswith(report.OTHER_QUESTIONS).any()


def test_the_figure_writes_the_cells_and_frames_what_changes(found: pd.DataFrame) -> None:
    moved, texts, framed = report.grid(found, "moved"), report.texts(found), report.framed(found)
    figure = figures.heatmap(
        report.named(moved), texts, title="T", xlabel="X", label="half-widths", limit=3,
        framed=framed,
    )  # fmt: skip
    axis, bar = figure.axes
    assert axis.get_xlabel() == "X" and bar.get_xlabel() == "half-widths"
    cells = sorted(axis.texts, key=lambda text: text.get_position()[::-1])
    assert [text.get_text() for text in cells] == list(texts.to_numpy().ravel())
    changed = int((found["word"] != found["reference_word"]).sum())
    assert len(axis.patches) == 2 * changed == 2 * int(framed.to_numpy().sum())


def test_tables_say_every_number_with_its_interval(bench: Bench, found: pd.DataFrame) -> None:
    words = report.shown(found)
    assert len(words) == len(found) and words["ours"].str.contains(r"\[|–").all()
    behind = report.details(bench)
    lines = report.shown_details(behind)
    assert set(behind["choice"]) <= {choice.name for choice in CHOICES}
    exact = (behind["n"] == 0).to_numpy()
    assert exact.sum() == 8 and not lines["value"][exact].str.contains(r"\[").any()
    assert list(report.described().index) == list(BY_NAME)
    assert list(report.headlines().index) == list(FINDINGS)


def test_a_choice_that_changes_nothing_has_moved_nothing(bench: Bench) -> None:
    idle = replace(BY_NAME["model selection"], linear={}, lightgcn={})
    for name, cell in ch13_effects.trained_anew(bench, idle).items():
        apart = ch13_effects.findings.difference(
            *(ch13_effects.findings.headline(name, side) for side in (cell.ours, cell.reference))
        )
        assert apart[:3] == (0, 0, 0), name
