"""The choices of protocol on a small world: each does what it says, and nothing else."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import runs
import torch

from companion import figures
from companion.consistency import PROTOCOL
from lib import claims
from lib.dataset import Dataset
from lib.encoders.training import Recipe
from lib.metrics import by_count, recall
from lib.probes import splits as item_splits
from lib.stats import Estimate
from studies import ch06_probes, concatenation, measures, nulls
from studies import ch13_protocol as study
from studies.ch13_protocol import CHOICES, EFFECTS, FINDINGS, FUSION, Audit, effects

BY_NAME = {choice.name: choice for choice in CHOICES}
run_of = partial(runs.run_of, epochs=2)


@pytest.fixture(scope="module")
def audit(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPANION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield Audit(run_of(small))


@pytest.fixture(scope="module")
def found(audit: Audit) -> pd.DataFrame:
    return effects(audit)


def test_the_choices_are_the_thirteen_weak_points_and_each_is_realised() -> None:
    assert len(CHOICES) == 13
    assert list(EFFECTS) == [choice.name for choice in CHOICES if choice.findings]
    assert set(FINDINGS) <= {*claims.load(), FUSION} - {"F8"}
    for choice in CHOICES:
        assert set(choice.findings) <= set(FINDINGS), choice.name
        for settings in (choice.linear, choice.lightgcn):
            Recipe(**settings).checked()
    assert list(study.described().index) == list(BY_NAME)


def test_the_table_has_a_row_for_each_finding_that_a_choice_touches(found: pd.DataFrame) -> None:
    rows = found.groupby("choice")["finding"].agg(set)
    assert {name: set(BY_NAME[name].findings) for name in rows.index} == dict(rows)
    assert len(rows) == len(EFFECTS) and not found.duplicated(["choice", "finding"]).any()
    defined = found.dropna(subset=["ours", "reference"])
    np.testing.assert_allclose(
        defined["difference"], defined["reference"] - defined["ours"], atol=1e-9
    )
    assert set(found["word"]) <= set(claims.VERDICTS)


def test_left_out_is_what_needs_a_model_of_its_own(audit: Audit, found: pd.DataFrame) -> None:
    quick = effects(audit, retrain=False)
    left = set(EFFECTS) - set(quick["choice"])
    assert left == {choice.name for choice in CHOICES if choice.retrains}
    same = found[found["choice"].isin(quick["choice"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(quick, same)
    assert "not measured in this run: model selection" in study.answer(quick)


def test_masking_lets_validation_items_in_and_training_items_never(audit: Audit) -> None:
    data = audit.run.dataset
    loose = audit.rankings([0], mask=data.train)
    for lists in (*loose.semantic, *loose.collaborative, *loose.fused):
        assert np.nansum(recall(lists, data.valid)) > 0
        assert np.nansum(recall(lists, data.train)) == 0
    strict = audit.rankings([0])
    assert np.nansum(recall(strict.fused[0], data.seen)) == 0


def test_the_first_item_is_never_recommended_where_it_is_masked(audit: Audit) -> None:
    masked: list[np.ndarray] = []

    class Watched(Audit):
        def rankings(self, seeds, choice=None, mask=None):  # type: ignore[no-untyped-def]
            made = super().rankings(seeds, choice, mask)
            masked.extend([*made.semantic, *made.collaborative] if mask is not None else [])
            return made

    study.without_first_item(Watched(audit.run), BY_NAME["the first item"])
    assert len(masked) == 2 and all((lists != 0).all() for lists in masked)
    assert any((lists == 0).any() for lists in audit.ours.lists.semantic)


def test_two_halves_add_up_to_the_joint_model(audit: Audit) -> None:
    joint = audit.run.view("joint", 0, dimension=128)
    halves = study.split_joint(joint)
    scores = sum(half.users @ half.items.T for half in halves)
    torch.testing.assert_close(scores, joint.users @ joint.items.T)
    for half in halves:
        torch.testing.assert_close(
            half.items.norm(dim=1), torch.full((audit.run.dataset.n_items,), 0.5**0.5)
        )
    even = concatenation.even_concat(halves)
    np.testing.assert_array_equal(audit.lists(even), audit.lists(joint))


def test_counts_of_the_reference_hold_all_interactions(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, given = audit.run.dataset, []
    strata = study.quantile_strata
    monkeypatch.setattr(
        study, "quantile_strata", lambda counts: given.append(counts) or strata(counts)
    )
    study.counting_all(audit, BY_NAME["what popularity counts"])
    (every,) = given
    assert every.sum() == data.train.nnz + data.valid.nnz + data.test.nnz
    assert (every >= audit.ours.lists.counts).all()


def test_the_farthest_seed_is_shown_and_one_seed_has_none(
    audit: Audit, small: Dataset, found: pd.DataFrame
) -> None:
    rows = found[found["choice"] == "one seed"].set_index("finding")
    for name, row in rows.iterrows():
        seeds = np.array([one.side(name).headline.value for one in audit.by_seed])
        if not np.isfinite(seeds).all():  # a view that finds no cold item has no gain over it
            assert not np.isfinite(row["reference"])
            continue
        assert len(seeds) == 2 and np.isclose(seeds, row["reference"]).any()
        apart = np.abs(seeds - row["ours"]).max()
        assert abs(row["reference"] - row["ours"]) == pytest.approx(apart, abs=1e-9)
    alone = Audit(run_of(small, seeds=1))
    assert study.farthest_seed(alone, BY_NAME["one seed"]) == []


def test_test_items_never_reach_the_lists(audit: Audit, small_with_other_test: Dataset) -> None:
    other = Audit(run_of(small_with_other_test))
    for side in ("semantic", "collaborative", "fused"):
        for ours, theirs in zip(
            getattr(audit.ours.lists, side), getattr(other.ours.lists, side), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_a_choice_that_changes_nothing_has_moved_nothing(audit: Audit) -> None:
    idle = replace(BY_NAME["model selection"], linear={}, lightgcn={})
    compared = study.trained_again(audit, idle)
    assert [row["finding"] for row in compared] == list(FINDINGS)
    for row in compared:
        ends = [row[f"difference{end}"] for end in study.ENDS]
        assert ends == [0, 0, 0], row["finding"]


def test_our_side_is_what_the_chapters_publish(audit: Audit) -> None:
    run, record = audit.run, audit.record()
    assert set(record) == set(FINDINGS) - {FUSION}
    lists = measures.rankings(run, "seeds", "other", "longer", "popularity")
    for finding in ("F1", "F2", "F3", "F3b", "F4", "F5"):
        ours = measures.measure(finding, lists) | nulls.excess(run, finding)
        assert record[finding] == ours, finding
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
        assert list(of) == list(claims.load()[finding].measures), finding


def test_the_page_leaves_our_side_for_machines_to_read(audit: Audit, found: pd.DataFrame) -> None:
    bundle = study.bundle(audit, found)
    record = json.loads(json.dumps(bundle[PROTOCOL], allow_nan=False))
    assert record["parameters"]["k"] == 5 and record["dataset"] == audit.run.dataset.name
    for finding, of in audit.record().items():
        for name, value in of.items():
            kept = [np.nan if x is None else x for x in record["measures"][finding][name]]
            np.testing.assert_array_equal(kept, value)
    assert "<table" in bundle["text/html"]


def test_our_probes_are_those_of_their_chapter(audit: Audit) -> None:
    run = replace(audit.run, parameters=audit.run.parameters | {"epochs": 2, "wide_items": 0})
    split = item_splits.random(run.dataset.n_items, seed=ch06_probes.SPLIT_SEED)
    every = [ch06_probes.vectors(run, seed) for seed in run.seeds]
    table = pd.concat(ch06_probes.probe_table(run, v, study.PROJECTED, "ridge", split, users=True)
                      for v in every)  # fmt: skip
    found, expected = audit.record()["F6"], ch06_probes.over_seeds(table, "score", "source")
    wanted = {
        "reached": ("reached", "R²", "text"), "text": ("mean", "R²", "text"),
        "recall": ("reached", "recall, mapped by cosine", "text"),
        "permuted": ("mean", "R²", "permuted"), "seeds": ("mean", "R²", "second seed"),
    }  # fmt: skip
    for name, (column, score, source) in wanted.items():
        of = ch06_probes.pick(expected, column, score=score, source=source)
        np.testing.assert_allclose(found[name], of, err_msg=name)
    share = audit.ours.side("F6").headline
    assert share.value == pytest.approx(found["reached"].mean)


def row(choice: str, difference: float, low: float, high: float, *words: str) -> dict[str, object]:
    ends = {"difference": difference, "difference_low": low, "difference_high": high}
    return {
        "choice": choice,
        "finding": "F3",
        **ends,
        "word": words[0],
        "reference_word": words[-1],
    }


def test_the_answer_names_what_changes_and_what_is_clear_and_larger_than_seeds(
    found: pd.DataFrame,
) -> None:
    assert not re.search(r"\d", re.sub(r"F\d+b?", "", study.answer(found)))
    table = pd.DataFrame([
        row("masking at test", 0.5, 0.1, 0.7, claims.HOLDS, claims.FAILS),
        row("the first item", 0.5, -0.1, 0.9, claims.HOLDS, claims.FAILS),  # may be no difference
        row("halves of one model", -0.5, -0.7, -0.1, claims.HOLDS),
        row(study.SEEDS, -0.2, -0.3, 0.1, claims.HOLDS),
    ])  # fmt: skip
    said = study.answer(table).splitlines()
    moved = "moved further than any two seeds: F3"
    assert said[0] == f"- **masking at test**: F3 from *holds* to *does not hold*; {moved}"
    assert said[1] == f"- **halves of one model**: {moved}"
    assert said[2] == f"- nothing: the first item, {study.SEEDS}"
    assert said[3].startswith("- not measured in this run: model selection, unequal")
    assert "moved" not in study.answer(table[:-1])  # one seed tells nothing
    drawn = study.drawn(table)
    assert list(drawn["group"]) == [
        *["first part of the rule changes"] * 2,
        "first part of the rule stays",
        study.FARTHEST,
    ]
    assert set(drawn["panel"]) == {"F3: hits of one view"}
    assert (drawn[["mean", "low"]] == table[["difference", "difference_low"]].to_numpy()).all(
        axis=None
    )


def test_the_figure_has_a_panel_for_each_finding(found: pd.DataFrame) -> None:
    figure = figures.intervals(study.drawn(found), title="T", nulls=[study.FARTHEST], columns=3)
    assert len([axis for axis in figure.axes if axis.get_visible()]) == len(FINDINGS)


def test_a_difference_is_paired_and_each_side_keeps_its_own_users() -> None:
    nan = np.nan
    ours = measures.gain(np.array([0.4, 0.2, nan]), np.array([0.2, 0.2, nan]))
    other = measures.gain(np.array([nan, 0.2, 0.3]), np.array([nan, 0.2, 0.1]))
    apart = study.difference(ours, other)
    assert apart.mean == pytest.approx(0.5 / 0.3 - 0.6 / 0.4) and apart.n == 3
    assert study.difference(ours, ours)[:3] == (0, 0, 0)


def test_a_word_is_that_of_the_first_part_of_the_rule() -> None:
    low, high = Estimate(0.2, 0.1, 0.3, 9), Estimate(0.6, 0.55, 0.7, 9)
    none = Estimate(np.nan, np.nan, np.nan, 0)
    word = study.word
    assert word("F2", {"jaccard": low, "seeds": none}) == claims.HOLDS
    assert word("F2", {"jaccard": high}) == claims.FAILS
    assert word("F2", {"jaccard": Estimate(0.3, 0.2, 0.4, 9)}) == claims.UNDECIDED
    assert word("F2", {"jaccard": none}) == claims.UNTESTABLE
    assert word(FUSION, {"gain": low}) == claims.HOLDS
    gains = {"cold": high, "mid": low, "hot": low, "tail": high}
    assert word("F9", gains) == claims.HOLDS
    assert word("F9", gains | {"cold": none}) == claims.UNTESTABLE


def test_strata_by_rank_are_exact_and_by_quantile_follow_ties() -> None:
    counts = np.array([1, 1, 1, 1, 1, 5, 5, 9, 9, 9])
    ours, reference = by_count(counts), study.quantile_strata(counts)
    np.testing.assert_array_equal(np.bincount(ours), [6, 2, 2])
    assert (ours[:5] == 0).all() and (ours[7:] >= 1).all()
    np.testing.assert_array_equal(reference, [0] * 7 + [1] * 3)
