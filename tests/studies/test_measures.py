"""The findings' measures: by hand, against plain Python, and as paired scores."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from tiny import Tiny, worlds

from lib import claims, metrics, probes
from lib.core import InputError
from lib.probes import maps
from lib.probes import splits as item_splits
from lib.probes.scores import Resampled
from lib.stats import Estimate
from studies import measures
from studies.measures import MEASURES, Evidence

NAN = float("nan")
BY_HAND = Evidence(
    semantic=[np.array([[0, 3], [2, 4]])],
    collaborative=[np.array([[0, 1], [4, 5]])],
    fused=[np.array([[0, 1], [2, 3]])],
    relevant=sp.csr_matrix(np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]])),
    counts=np.array([7.0, 3, 0, 1, 1, 1]),
    strata=np.array([2, 2, 0, 0, 1, 1]),
)


@pytest.mark.parametrize(
    ("finding", "values"),
    [
        ("F1", {"ratio": 1.5}),  # recalls ½ and 1 over 1 and 0
        ("F2", {"jaccard": 1 / 3}),
        ("F3", {"complementary": 2 / 3}),  # of items 0, 1 and 2 the first is found by both
        ("F3b", {"balance": 1}),
        ("F4", {"gap": -np.log(4)}),  # item 2 was never seen, item 1 three times
        ("F5", {"gain": 1 / 3}),  # recalls 1 and 1 over ½ and 1
        ("F8", {"advantage": 1}),
        ("F9", {"cold": 0, "mid": NAN, "hot": 1, "tail": -1}),
    ],
)
def test_two_users_by_hand(finding: str, values: dict[str, float]) -> None:
    found = {name: score.value for name, score in MEASURES[finding](BY_HAND).items()}
    assert found == pytest.approx(values, nan_ok=True)
    assert claims.load()[finding].headline in found


def evidence(world: Tiny) -> Evidence:
    """Return the first two lists as a seed, the last two as another, and strata of three items."""
    a, b, c = world.lists
    n = world.n_items
    return Evidence([a, b], [b, c], [c, a], world.relevant, np.arange(n) % 4.0, np.arange(n) % 3)


def plain(world: Tiny) -> dict[str, float]:
    """Return the same measures by loops over users and items."""
    total = dict.fromkeys(
        ["s", "c", "f", "u", "best", "jaccard", "lists", "both", "s_only", "c_only", "ps", "pc"],
        0.0,
    )
    tail = np.zeros((3, 2))
    users = [u for u in range(world.n_users) if world.liked(u)]
    for s, c, f in ((0, 1, 2), (1, 2, 0)):
        sides = {"s": s, "c": c, "f": f}
        recalls = {
            name: [
                len(world.liked(u) & set(world.items(w, u))) / len(world.liked(u)) for u in users
            ]
            for name, w in sides.items()
        }
        for name, values in recalls.items():
            total[name] += sum(values)
        lead = "s" if sum(recalls["s"]) >= sum(recalls["c"]) else "c"
        total["best"] += sum(recalls[lead])
        for u in users:
            liked, semantic, collaborative = (
                world.liked(u), set(world.items(s, u)), set(world.items(c, u)),
            )  # fmt: skip
            total["u"] += len(liked & (semantic | collaborative)) / len(liked)
            total["both"] += len(liked & semantic & collaborative)
            total["s_only"] += len(liked & semantic - collaborative)
            total["c_only"] += len(liked & collaborative - semantic)
            total["ps"] += sum(np.log1p(i % 4) for i in liked & semantic - collaborative)
            total["pc"] += sum(np.log1p(i % 4) for i in liked & collaborative - semantic)
            for stratum in range(3):
                inside = {i for i in liked if i % 3 == stratum}
                for side, which in enumerate((f, sides[lead])):
                    hit = len(inside & set(world.items(which, u)))
                    tail[stratum, side] += hit / len(inside) if inside else 0
    pairs = [
        (set(world.items(s, u)), set(world.items(c, u)))
        for u in range(world.n_users)
        for s, c in ((0, 1), (1, 2))
    ]
    # a user with an empty pair has no Jaccard, nor a mean over seeds
    by_user = [
        [len(x & y) / len(x | y) if x | y else NAN for x, y in pairs[2 * u : 2 * u + 2]]
        for u in range(world.n_users)
    ]
    means = [np.mean(row) for row in by_user if not np.isnan(row).any()]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = {name: np.float64(number) for name, number in total.items()}
        cold, mid, hot = tail[:, 0] / tail[:, 1] - 1
        return {
            "ratio": t["s"] / t["c"],
            "jaccard": float(np.mean(means)) if means else NAN,
            "complementary": (t["s_only"] + t["c_only"])
            / (t["both"] + t["s_only"] + t["c_only"]),
            "balance": t["s_only"] / t["c_only"],
            "gap": t["ps"] / t["s_only"] - t["pc"] / t["c_only"],
            "gain": t["u"] / t["best"] - 1,
            "advantage": t["f"] / t["c"] - 1,
            "cold": cold, "mid": mid, "hot": hot, "tail": cold - hot,
        }  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(worlds(equal=True))
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_measures_are_those_of_plain_python(world: Tiny) -> None:
    found = evidence(world)
    measured = {
        name: score.value for measure in MEASURES.values() for name, score in measure(found).items()
    }
    expected = plain(world)
    assert set(measured) == set(expected)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, nan_ok=True), name


@pytest.fixture
def drawn() -> Evidence:
    draw = np.random.default_rng(1)
    n_users, n_items = 40, 30

    def lists() -> list[np.ndarray]:
        return [np.argsort(draw.random((n_users, n_items)), axis=1)[:, :8] for _ in range(2)]

    relevant = sp.csr_matrix(draw.random((n_users, n_items)) < 0.2)
    counts = draw.integers(0, 9, n_items).astype(float)
    return Evidence(lists(), lists(), lists(), relevant, counts, metrics.by_count(counts))


@pytest.mark.parametrize("finding", MEASURES)
def test_neither_the_order_of_users_nor_the_names_of_items_matter(
    drawn: Evidence, finding: str
) -> None:
    draw = np.random.default_rng(2)
    users, items = draw.permutation(40), draw.permutation(30)  # item i becomes items[i]
    back = np.argsort(items)
    moved = Evidence(
        *([items[one[users]] for one in side]
          for side in (drawn.semantic, drawn.collaborative, drawn.fused)),
        drawn.relevant[users][:, back], drawn.counts[back], drawn.strata[back],
    )  # fmt: skip
    before, after = (measures.estimates(MEASURES[finding](one)) for one in (drawn, moved))
    for name, found in before.items():
        assert after[name] == pytest.approx(found), name


@pytest.mark.parametrize("finding", MEASURES)
def test_a_difference_is_paired(drawn: Evidence, finding: str) -> None:
    ours = measures.headline(finding, MEASURES[finding](drawn))
    assert measures.difference(ours, ours)[:3] == (0, 0, 0)
    other = replace(drawn, semantic=drawn.fused, fused=drawn.semantic, counts=drawn.counts[::-1])
    theirs = measures.headline(finding, MEASURES[finding](other))
    apart = measures.difference(ours, theirs)
    assert apart.mean == pytest.approx(theirs.value - ours.value)
    assert measures.estimates({"x": ours})["x"].mean == pytest.approx(ours.value)


def test_one_minus_another_is_a_score(drawn: Evidence) -> None:
    (a,), (b,) = (MEASURES[name](drawn).values() for name in ("F5", "F8"))
    assert measures.minus(a, b).value == pytest.approx(a.value - b.value)


@pytest.fixture
def vectors() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    target = draw.standard_normal((200, 6))
    noisy = target @ draw.standard_normal((6, 8)) + 2 * draw.standard_normal((200, 8))
    return noisy, target, target @ np.linalg.qr(draw.standard_normal((6, 6)))[0]


def test_what_is_reached_is_what_the_probe_says(
    vectors: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    split = item_splits.random(200)
    found = measures.reached(*vectors, split, maps.fit_ridge)
    source, target, second = vectors
    table = probes.probe(source, target, split, maps.fit_ridge, second_seed=second)
    table = table.query("score == 'R²'")
    expected = dict(zip(table["source"], table["value"], strict=True))
    assert found["text"].value == pytest.approx(expected["text"])
    assert found["seeds"].value == pytest.approx(expected["second seed"])
    text, floor, ceiling = (found[name].value for name in ("text", "permuted", "seeds"))
    assert found["reached"].value == pytest.approx((text - floor) / (ceiling - floor))
    again = measures.reached(vectors[2], vectors[1], vectors[2], split, maps.fit_ridge)
    assert measures.estimates(again)["reached"][:3] == pytest.approx((1, 1, 1))


def test_measures_of_seeds_are_averaged_resample_by_resample() -> None:
    ones = {"reached": Resampled(1.0, np.array([1.0, 3.0]), 5)}
    twos = {"reached": Resampled(2.0, np.array([2.0, 5.0]), 5)}
    found = measures.averaged([ones, twos])["reached"]
    assert (found.value, found.n) == (1.5, 5)
    np.testing.assert_array_equal(found.drawn, [1.5, 4])


def test_a_word_is_that_of_the_first_part_of_the_rule() -> None:
    low, high = Estimate(0.2, 0.1, 0.3, 9), Estimate(0.6, 0.55, 0.7, 9)
    assert measures.word("F2", {"jaccard": low}) == claims.HOLDS
    assert measures.word("F2", {"jaccard": high}) == claims.FAILS
    assert measures.word("F2", {"jaccard": Estimate(NAN, NAN, NAN, 0)}) == claims.UNTESTABLE
    gains = {"cold": high, "mid": low, "hot": low, "tail": high}
    assert measures.word("F9", gains) == claims.HOLDS
    assert measures.word("F9", gains | {"mid": Estimate(NAN, NAN, NAN, 0)}) == claims.UNTESTABLE


def test_strata_by_rank_are_exact_and_by_quantile_follow_ties() -> None:
    counts = np.array([1, 1, 1, 1, 1, 5, 5, 9, 9, 9])
    ours, reference = metrics.by_count(counts), measures.quantile_strata(counts)
    np.testing.assert_array_equal(np.bincount(ours), [6, 2, 2])
    assert (ours[:5] == 0).all() and (ours[7:] >= 1).all()
    np.testing.assert_array_equal(reference, [0] * 7 + [1] * 3)


@pytest.mark.parametrize("counts", [[[1.0]], [], [1.0, NAN]])
def test_counts_that_are_none_are_refused_in_one_sentence(counts) -> None:
    with pytest.raises(InputError, match="one finite number per item") as fault:
        measures.quantile_strata(counts)
    assert "\n" not in str(fault.value)
