"""Scores by hand and against scikit-learn, SciPy and brute force; probes of planted worlds."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from lib import probes
from lib.core import InputError, generator
from lib.probes import scores
from lib.probes.maps import Map, PairedVectors, fit_procrustes, fit_ridge
from lib.probes.networks import fit_mlp
from lib.probes.scores import Audience, estimate, inductive_recall
from lib.probes.splits import ItemSplit, random
from lib.stats import summary


def noisy(n: int = 40, t: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = draw.normal(size=(n, t)) * np.arange(1, t + 1) + 2
    return true, true + draw.normal(size=(n, t))


def resamples(n: int, seed: int = 0) -> np.ndarray:
    """Return the items of each resample, as they are drawn for the scores (1,000 × n)."""
    return generator(seed, "bootstrap").integers(0, n, (scores.DRAWS, n))


def value(table: pd.DataFrame, score: str, **where: str) -> float:
    chosen = table[table.score == score]
    for column, wanted in where.items():
        chosen = chosen[chosen[column] == wanted]
    assert len(chosen) == 1
    return float(chosen.value.iloc[0])


# scores


def test_r2_by_hand() -> None:
    true, guess = [[0, 0], [2, 4]], [[0, 2], [2, 2]]
    assert scores.r2(true, guess).value == 0.5  # (1 + 0) / 2: all of 2, none of 8 explained
    assert scores.r2_weighted(true, guess).value == pytest.approx(1 - 8 / 10)
    # at unit length (1, 0), (0, 1) against (0, 1), (0, 1): residual 1 + 1 of spread 1/2 + 1/2
    assert scores.r2_direction([[3, 0], [0, 5]], [[0, 2], [0, 7]]).value == pytest.approx(-1)


def test_the_value_alone_is_that_of_the_estimate() -> None:
    for score, by_hand in (
        (scores.r2([[0, 0], [2, 4]], [[0, 2], [2, 2]]), 0.5),
        (scores.mean(np.array([1.0, 3.0, np.nan])), 2.0),
    ):
        assert score.value == estimate(score).mean == by_hand


def test_r2_and_its_resamples_are_scikit_learns() -> None:
    true, guess = noisy()
    for score, kind in (
        (scores.r2(true, guess), "uniform_average"),
        (scores.r2_weighted(true, guess), "variance_weighted"),
    ):
        assert score.value == pytest.approx(r2_score(true, guess, multioutput=kind))
        theirs = [r2_score(true[i], guess[i], multioutput=kind) for i in resamples(40)[:50]]
        np.testing.assert_allclose(score.drawn[:50], theirs)


def test_r2_of_a_dimension_without_spread_is_scikit_learns() -> None:
    true, guess = noisy(t=4)
    # a half has no rounding error, on which scikit-learn's rule would founder
    true[:, 1] = guess[:, 1] = 0.5  # met exactly
    true[:, 2] = 0.5  # missed
    true[:, 3] = np.arange(40) == 0  # without spread in the resamples that leave item 0 out
    score = scores.r2(true, guess)
    assert score.value == pytest.approx(r2_score(true, guess))
    theirs = [r2_score(true[i], guess[i]) for i in resamples(40)[:50]]
    np.testing.assert_allclose(score.drawn[:50], theirs)


def test_weighted_r2_does_not_depend_on_the_axes() -> None:
    true, guess = noisy()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = scores.r2_weighted(true @ turn, guess @ turn)
    assert turned.value == pytest.approx(scores.r2_weighted(true, guess).value)


def test_cosine_by_hand() -> None:
    found = scores.cosine([[1, 0], [1, 1], [3, 4], [1, 2]], [[5, 0], [1, -1], [-3, -4], [0, 0]])
    np.testing.assert_allclose(found, [1, 0, -1, 0], atol=1e-15)


def test_rank_correlation_by_hand() -> None:
    # angles 0, 10, 30 and 60 degrees: any map that keeps the order of all distances has 1
    def at(angles: list[float]) -> np.ndarray:
        radians = np.deg2rad(angles)
        return np.stack([np.cos(radians), np.sin(radians)], axis=1)

    true = at([0, 10, 30])  # distances 10, 20, 30 of pairs 01, 12, 02
    assert scores.rank_correlation(true, at([0, 1, 80])).value == pytest.approx(1)
    # distances 40, 10, 50: ranks (1, 2, 3) against (2, 1, 3)
    assert scores.rank_correlation(true, at([0, 40, 50])).value == pytest.approx(0.5)
    flat = scores.rank_correlation(true, at([20, 20, 20]))
    assert flat.value == 0 and not flat.drawn.any()


def cosines(x: np.ndarray) -> np.ndarray:
    at_length_one = x / np.linalg.norm(x, axis=1, keepdims=True)
    return at_length_one @ at_length_one.T


def test_rank_correlation_and_its_resamples_are_scipys() -> None:
    true, guess = noisy(25)
    true[3] = true[8] = true[9]  # ties
    score = scores.rank_correlation(true, guess)
    a, b = cosines(true).round(12), cosines(guess).round(12)

    def of(items: np.ndarray) -> float:
        i, j = np.triu_indices(len(items), 1)
        i, j = items[i], items[j]
        different = i != j
        i, j = i[different], j[different]
        return spearmanr(a[np.minimum(i, j), np.maximum(i, j)], b[i, j]).statistic

    assert score.value == pytest.approx(of(np.arange(25)), abs=2e-3)  # ties but for rounding
    np.testing.assert_allclose(score.drawn[:30], [of(i) for i in resamples(25)[:30]], atol=5e-3)


def test_rank_correlation_of_sampled_pairs_is_close_to_that_of_all() -> None:
    true, guess = noisy(300, 5)
    i, j = np.triu_indices(300, 1)
    assert len(i) > scores.PAIRS
    all_pairs = spearmanr(cosines(true)[i, j], cosines(guess)[i, j]).statistic
    assert scores.rank_correlation(true, guess).value == pytest.approx(all_pairs, abs=0.03)


def test_all_scores_meet_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    true, guess = noisy()
    in_one = scores.r2(true, guess).drawn
    monkeypatch.setattr(scores, "_BLOCK", 333)
    np.testing.assert_allclose(scores.r2(true, guess).drawn, in_one)


def test_estimates() -> None:
    values = np.array([0.0, 1, 1, np.nan, 0.5])
    assert estimate(scores.mean(values)) == summary(values)
    true, mapped = np.array([1.0, 0.5, 0]), np.array([0.5, 0.25, 0])
    assert estimate(scores.drop(true, mapped)) == (0.5, 0.5, 0.5, 3)
    found = scores.r2(*noisy())
    low, high = np.quantile(found.drawn, [0.025, 0.975])
    assert estimate(found) == pytest.approx((found.value, low, high, 40))
    same = estimate(found, found, combine=lambda a, b: a - b)
    assert same == (0, 0, 0, 40)
    unknown = estimate(found, found, combine=lambda a, b: a / (b - b))
    assert np.isnan(unknown[:3]).all()


def test_scores_of_two_kinds_are_not_combined() -> None:
    """A score that is silently left out makes a mean of 4 and 5 a 4."""
    five = scores.Resampled(5.0, np.full(scores.DRAWS, 5.0), 3)
    with pytest.raises(InputError, match="1 functions of totals and 1 resampled scores"):
        estimate(scores.mean(np.full(3, 4.0)), five, combine=lambda *both: np.mean(both, axis=0))


# inductive recall


def test_inductive_recall_by_hand() -> None:
    # items 0-3 train and 4-6 held out; one user along the first axis wants item 4
    target = np.array([[1, 0], [2, 0], [3, 0], [2, 0], [5, 0], [1, 4], [0, 1]], dtype=float)
    mapped = np.array([[0.4, 0.0], [0.3, 0.9], [0.5, 0.5]])  # item 4's shrunk, its direction right
    split = ItemSplit(np.array([0, 1, 2]), np.array([3]), np.array([4, 5, 6]), "by hand")
    wanted = sp.csr_matrix(([1.0, 1.0], ([0, 1], [4, 1])), shape=(2, 7))
    nothing = sp.csr_matrix((2, 7))
    audience = Audience(np.array([[1, 0], [1, 1]]), wanted, nothing)
    found = inductive_recall(audience, target, mapped, split, k=1)
    # the second user wants no held-out item and is left out
    assert {name: values.tolist() for name, values in found.items()} == {
        "recall, true": [1],  # 5 against 1 and 0
        "recall, mapped": [0],  # 0.4 against 0.5 of item 6
        "recall, norm-matched": [1],
        "recall, true by cosine": [1],
        "recall, mapped by cosine": [1],
        "recall among all items, true": [1],
        "recall among all items, mapped": [0],
        "recall among all items, norm-matched": [0],  # length 2 against item 2's 3
        "recall among all items, true by cosine": [0],  # a tie, won by item 0
        "recall among all items, mapped by cosine": [0],
    }
    all_others = sp.csr_matrix([[1.0, 1, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0]])
    seen = inductive_recall(audience._replace(seen=all_others), target, mapped, split, k=1)
    assert seen["recall among all items, norm-matched"].tolist() == [1]
    assert seen["recall among all items, mapped"].tolist() == [0]


def test_inductive_recall_against_brute_force() -> None:
    draw = np.random.default_rng(2)
    users, target = draw.normal(size=(12, 4)), draw.normal(size=(30, 4))
    relevant = draw.random((12, 30)) < 0.2
    seen = (draw.random((12, 30)) < 0.3) & ~relevant
    split = random(30)
    mapped = draw.normal(size=(6, 4))
    audience = Audience(users, sp.csr_matrix(relevant * 1.0), sp.csr_matrix(seen * 1.0))
    found = inductive_recall(audience, target, mapped, split, k=3)

    def brute(vectors: np.ndarray, candidates: list[int]) -> list[float]:
        out = []
        for u in range(12):
            wanted = {i for i in split.test if relevant[u, i]}
            if wanted:
                able = [i for i in candidates if not seen[u, i]]
                best = sorted(able, key=lambda i: -float(users[u] @ vectors[i]))[:3]
                out.append(len(wanted & set(best)) / len(wanted))
        return out

    predicted = target.copy()
    predicted[split.test] = mapped
    matched = predicted.copy()
    length = np.linalg.norm(target[split.train], axis=1).mean()
    matched[split.test] = length * mapped / np.linalg.norm(mapped, axis=1, keepdims=True)

    def flat(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    ways = {
        "true": target,
        "mapped": predicted,
        "norm-matched": matched,
        "true by cosine": flat(target),
        "mapped by cosine": flat(predicted),
    }
    for way, vectors in ways.items():
        among_held_out = brute(vectors, split.test.tolist())
        np.testing.assert_allclose(found[f"recall, {way}"], among_held_out)
        among_all = brute(vectors, list(range(30)))
        np.testing.assert_allclose(found[f"recall among all items, {way}"], among_all)


# probes


def world(seed: int = 0, n: int = 150) -> dict[str, Any]:
    """Return text with two of the target's four factors, and the target by two seeds."""
    draw = np.random.default_rng(seed)
    factors = draw.normal(size=(n, 4)) + 0.5
    text = np.hstack([factors[:, :2], draw.normal(size=(n, 3))]) @ draw.normal(size=(5, 6))
    turns = [np.linalg.qr(draw.normal(size=(4, 4)))[0] for _ in range(2)]
    first, second = (factors @ turn + 0.3 * draw.normal(size=(n, 4)) for turn in turns)
    users = draw.normal(size=(40, 4))
    order = np.argsort(np.argsort(-(users @ first.T) + draw.gumbel(size=(40, n))))
    relevant, seen = order < 20, (order >= 20) & (order < 40)
    audience = Audience(users, sp.csr_matrix(relevant * 1.0), sp.csr_matrix(seen * 1.0))
    return {"source": text, "target": first, "second": second, "audience": audience}


def from_text(
    source: ArrayLike, target: ArrayLike, fit: Any = fit_ridge, k: int = 20, **options: Any
) -> pd.DataFrame:
    """Return the rows of a probe that start from the source, on 150 items."""
    found = probes.probe(source, target, random(150), fit, second_seed=target, k=k, **options)
    return found[found.source == "text"].reset_index(drop=True)


def test_a_planted_linear_relation_is_found_and_an_absent_one_is_not() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 5))
    y = x @ draw.normal(size=(5, 3)) + 1
    split = random(300)
    found = probes.probe(x, y, split, fit_ridge, second_seed=y)
    for score in ("R²", "R², training items", "R², variance-weighted", "R², direction only"):
        assert value(found, score, source="text") > 0.9999
    for score in ("cosine", "neighbourhood Jaccard", "rank correlation"):
        assert value(found, score, source="text") > 0.999
    assert value(found, "R²", source="permuted") < 0.02
    absent = probes.probe(x, draw.normal(size=(300, 3)), split, fit_ridge, second_seed=y)
    assert value(absent, "R²", source="text") < 0.02


def test_a_table_has_every_score_once_with_its_interval() -> None:
    made = world()
    found = from_text(made["source"], made["target"], k=5, audience=made["audience"])
    columns = ["source", "map", "split", "score", "value", "low", "high", "n", "parameters"]
    assert list(found.columns) == [*columns, "reached", "reached_low", "reached_high"]
    assert set(found["map"]) == {"ridge"} and set(found["split"]) == {"random"}
    assert found.score.is_unique and len(found) == 7 + 2 * (5 + 3)
    assert found[columns].notna().all(axis=None)
    assert ((found.low <= found.value) & (found.value <= found.high)).all()
    assert set(found[~found.score.str.contains("recall|drop|training")].n) == {30}
    for pool, lost in (("recall", "drop"), ("recall among all items", "drop among all items")):
        for way, whole in (("mapped", "true"), ("mapped by cosine", "true by cosine")):
            kept = value(found, f"{pool}, {way}") / value(found, f"{pool}, {whole}")
            assert value(found, f"{lost}, {way}") == pytest.approx(1 - kept)
    without = from_text(made["source"], made["target"], k=5)
    pd.testing.assert_frame_equal(without, found[:7])


def test_recall_is_unknown_where_no_user_wants_a_held_out_item() -> None:
    made = world()
    audience = made["audience"]._replace(relevant=sp.csr_matrix((40, 150)))
    found = from_text(made["source"], made["target"], k=5, audience=audience)
    unknown = found[found.score.str.contains("recall|drop")]
    assert len(unknown) == 16 and unknown.value.isna().all() and (unknown.n == 0).all()


def test_neighbourhoods_leave_the_item_itself_out_by_id() -> None:
    made = world()
    x, y, split = made["source"], made["target"], random(150)
    x[split.test[:12]], y[split.test[:12]] = x[split.test[0]], y[split.test[0]]  # duplicates
    found = from_text(x, y, k=3)
    guess = fit_ridge(PairedVectors.of(x, y, split.train, split.valid))
    test = split.test[np.lexsort(y[split.test].T)]  # ties are broken in this order

    def nearest(vectors: np.ndarray) -> list[set[int]]:
        alike = cosines(vectors).astype(np.float32).round(5)
        np.fill_diagonal(alike, -np.inf)
        return [set(np.argsort(-row, kind="stable")[:3].tolist()) for row in alike]

    both = zip(nearest(y[test]), nearest(guess.predict(x[test])), strict=True)
    overlaps = [len(a & b) / len(a | b) for a, b in both]
    assert value(found, "neighbourhood Jaccard") == pytest.approx(np.mean(overlaps))
    assert all(overlap == 1 for item, overlap in zip(test, overlaps, strict=True)
               if item in split.test[:12])  # fmt: skip


def fit_mean(pairs: PairedVectors, *, seed: int = 0) -> Map:
    """Predict the training items' mean for every item."""
    return pairs.linear("mean", np.zeros((pairs.x.shape[1], pairs.y.shape[1])))


def test_bounds() -> None:
    made = world()
    options = {"second_seed": made["second"], "audience": made["audience"], "k": 5}
    of_mean, found = (
        probes.probe(made["source"], made["target"], random(150), fit, **options)
        for fit in (fit_mean, fit_ridge)
    )
    assert tuple(found.source.unique()) == probes.SOURCES
    assert (found.groupby("source").size() == 23).all()
    floor, text, ceiling = (
        value(found, "R²", source=s) for s in ("permuted", "text", "second seed")
    )
    assert floor < 0.05 and 0.2 < text < 0.6 and ceiling > 0.75
    of_r2 = found[found.score == "R²"].set_index("source")
    assert of_r2.loc["text", "reached"] == pytest.approx((text - floor) / (ceiling - floor))
    assert 0.05 < of_r2.loc["text", "reached_low"] < of_r2.loc["text", "reached"]
    assert of_r2.loc["text", "reached"] < of_r2.loc["text", "reached_high"] < 0.9
    for source, bound in (("permuted", 0), ("second seed", 1)):
        reached = of_r2.loc[source, ["reached", "reached_low", "reached_high"]]
        assert (reached == bound).all()
    assert of_mean.reached.isna().all()  # floor and ceiling are one
    ways = (("text", "source", fit_ridge), ("permuted", "source", probes.permuted(fit_ridge)),
            ("second seed", "second", fit_ridge))  # fmt: skip
    for source, start, fit in ways:
        plain = from_text(made[start], made["target"], fit, k=5, audience=made["audience"])
        rows = found[found.source == source].reset_index(drop=True)
        columns = ["map", "score", "value", "low", "high", "n", "parameters"]
        pd.testing.assert_frame_equal(rows[columns], plain[columns])


def test_the_seed_draws_the_resamples_and_nothing_else() -> None:
    made = world()

    def probed(**seed: int) -> pd.DataFrame:
        return probes.probe(
            made["source"], made["target"], random(150), fit_ridge,
            second_seed=made["second"], audience=made["audience"], k=5, **seed,
        )  # fmt: skip

    default, same, other = probed(), probed(seed=0), probed(seed=1)
    pd.testing.assert_frame_equal(default, same)
    text = (default.source == "text") & (default.low < default.high)
    assert (default.value[text] == other.value[text]).all()
    intervals = ["low", "high"]
    assert (default[text][intervals] != other[text][intervals]).any(axis=1).all()
    reached = default[text & default.reached.notna()]
    assert (reached.reached_low != other.loc[reached.index].reached_low).any()


def test_a_neighbourhood_of_one_and_of_twenty_by_default() -> None:
    made = world()
    one = from_text(made["source"], made["target"], k=1)
    assert 0 < value(one, "neighbourhood Jaccard") < 1
    split, options = random(150), {"second_seed": made["second"]}
    default, twenty = (
        probes.probe(made["source"], made["target"], split, fit_ridge, **options, **k)
        for k in ({}, {"k": 20})
    )
    pd.testing.assert_frame_equal(default, twenty)


def test_reached_is_resampled_jointly() -> None:
    """With the floor at 0 and the ceiling twice the value on every resample there is no doubt."""
    made = world()
    half = scores.r2(made["target"], made["target"] * 0.9)
    twice, none = (
        replace(half, value=2 * half.value, drawn=2 * half.drawn),
        replace(half, value=0.0, drawn=0 * half.drawn),
    )
    assert estimate(half, none, twice, combine=probes.share_reached)[:3] == pytest.approx(
        (0.5,) * 3
    )


@pytest.mark.parametrize(
    "fit",
    [
        fit_ridge,
        fit_procrustes,
        probes.permuted(fit_ridge),
        partial(fit_mlp, hidden=(4,), epochs=4),
    ],
    ids=["ridge", "procrustes", "permuted", "mlp"],
)
def test_neither_repetition_nor_numbering_of_items_changes_anything(fit: Any) -> None:
    made, split = world(), random(150)
    x, y, second, audience = (made[name] for name in ("source", "target", "second", "audience"))

    def probed() -> pd.DataFrame:
        table = probes.probe(x, y, split, fit, second_seed=second, k=5, audience=audience)
        # bounds that nearly coincide and guesses that are nearly equal magnify rounding errors
        return table[table.source == "text"].loc[:, :"parameters"]

    found = probed()
    pd.testing.assert_frame_equal(found, probed())
    order = np.random.default_rng(0).permutation(150)  # new item i was item order[i]
    new = np.argsort(order)
    parts = {part: np.sort(new[getattr(split, part)]) for part in ("train", "valid", "test")}
    split = replace(split, **parts)
    x, y, second = x[order], y[order], second[order]
    relevant, seen = (one[:, order] for one in (audience.relevant, audience.seen))
    audience = Audience(audience.users, relevant, seen)
    pd.testing.assert_frame_equal(found, probed(), rtol=1e-6)


def test_bad_input_is_refused_in_one_sentence() -> None:
    made = world()
    x, y, audience = made["source"], made["target"], made["audience"]
    held_out = random(150).test
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: from_text(x[:9], y), "9, 150 items were given"),
        (lambda: from_text(x * np.nan, y), "not finite"),
        (lambda: from_text(x[:40], y[:40]), "split of 150 items .* vectors of 40"),
        (lambda: from_text(x, y, k=30), "k = 30 neighbours .* 30 vectors; give 1 to 29"),
        (lambda: from_text(x, y, k=0), "k = 0"),
        (
            lambda: from_text(x, y, audience=audience._replace(users=x[:40])),
            r"users \(40, 6\) .* give 40 users of 4 dimensions",
        ),
        (
            lambda: from_text(x, y, audience=audience._replace(seen=sp.eye(3))),
            "and both as 40 users × 150 items",
        ),
        (
            lambda: probes.probe(x, y, random(150), fit_ridge, second_seed=x[:3]),
            "3, 150 items were given",
        ),
        (
            lambda: scores.r2(x, y),
            r"predicted vectors of shape \(150, 4\) were given for true ones of",
        ),
        (lambda: scores.rank_correlation(x[:1], x[:1]), "give at least two"),
        (
            lambda: inductive_recall(audience, y, y[held_out], random(150), k=31),
            "k = 31 was given with 30 held-out items",
        ),
    ]
    for call, sentence in cases:
        with pytest.raises(InputError, match=sentence):
            call()
