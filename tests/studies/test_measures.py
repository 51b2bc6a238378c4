"""The findings' measures: by hand, against plain Python, and as paired scores."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from tiny import Tiny, worlds

from lib import claims, metrics
from lib.stats import Estimate
from studies import measures
from studies.measures import MEASURES, Measures, Rankings

OF_LISTS = ("F1", "F2", "F3", "F3b", "F4", "F5", "fusion", "F9")


def of_lists(finding: str, found: Rankings) -> Measures:
    return measures.fusion_gain(found) if finding == "fusion" else MEASURES[finding](found)


def values_of(found: Measures) -> dict[str, float]:
    return {name: of.value for name, of in found.items() if not isinstance(of, Estimate)}


NAN = float("nan")
# hot items are 0 and 1, item 2 is the only cold one that is relevant
OF_STRATA = {
    "tail": np.inf, "cold": np.inf, "mid": NAN, "hot": 0,  # only the fusion finds the cold item
    "tail_text": -1, "cold_text": 0, "mid_text": NAN, "hot_text": 1,
}  # fmt: skip
BY_HAND = Rankings(
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
        ("F1", {"ratio": 1.5, "semantic": 0.75, "collaborative": 0.5}),
        ("F2", {"jaccard": 1 / 3}),
        ("F3", {"complementary": 2 / 3}),  # of items 0, 1 and 2 the first is found by both
        ("F3b", {"balance": 1, "own": 1 / 3}),
        ("F4", {"gap": -np.log(4)}),  # item 2 was never seen, item 1 three times
        ("F5", {"gain": 1 / 3}),  # recalls 1 and 1 over ½ and 1
        ("fusion", {"gain": 1}),
        ("F9", OF_STRATA),
        ("F9b", OF_STRATA),
    ],
)
def test_two_users_by_hand(finding: str, values: dict[str, float]) -> None:
    assert values_of(of_lists(finding, BY_HAND)) == pytest.approx(values, nan_ok=True)


def test_every_finding_has_its_function_and_its_headline() -> None:
    assert set(MEASURES) == set(claims.load())
    for finding in set(OF_LISTS) - {"fusion"}:
        assert claims.load()[finding].headline == next(iter(MEASURES[finding](BY_HAND)))


def rankings(world: Tiny) -> Rankings:
    """Return the first two lists as a seed, the last two as another, and strata of three items."""
    a, b, c = world.lists
    n = world.n_items
    strata = np.arange(n) % 3
    return Rankings([a, b], [b, c], world.relevant, np.arange(n) % 4.0, strata, fused=[c, a])


def plain(world: Tiny) -> dict[str, float]:
    """Return the same measures by loops over users and items."""
    total = dict.fromkeys(
        ["s", "c", "f", "u", "best", "jaccard", "lists", "both", "s_only", "c_only", "ps", "pc"],
        0.0,
    )
    tail = np.zeros((3, 3))
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
                for side, which in enumerate((f, c, s)):
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
        strata = {}
        for side, suffix in ((1, ""), (2, "_text")):
            gains = dict(zip(("cold", "mid", "hot"), tail[:, 0] / tail[:, side] - 1, strict=True))
            gains["tail"] = gains["cold"] - gains["hot"]
            strata |= {f"{name}{suffix}": value for name, value in gains.items()}
        return {
            "ratio": t["s"] / t["c"],
            "semantic": t["s"] / (2 * len(users)) if users else NAN,
            "collaborative": t["c"] / (2 * len(users)) if users else NAN,
            "jaccard": float(np.mean(means)) if means else NAN,
            "complementary": (t["s_only"] + t["c_only"])
            / (t["both"] + t["s_only"] + t["c_only"]),
            "balance": t["s_only"] / t["c_only"],
            "own": t["s_only"] / (t["both"] + t["s_only"] + t["c_only"]),
            "gap": t["ps"] / t["s_only"] - t["pc"] / t["c_only"],
            "gain": t["u"] / t["best"] - 1,
            "fusion": t["f"] / t["c"] - 1,
        } | strata  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(worlds(equal=True))
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_measures_are_those_of_plain_python(world: Tiny) -> None:
    found = rankings(world)
    measured = {}
    for finding in OF_LISTS:
        of = values_of(of_lists(finding, found))
        measured |= {"fusion": of["gain"]} if finding == "fusion" else of
    expected = plain(world)
    assert set(measured) == set(expected)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, nan_ok=True), name


@pytest.fixture
def drawn() -> Rankings:
    rng = np.random.default_rng(1)
    n_users, n_items = 40, 30

    def lists() -> list[np.ndarray]:
        return [np.argsort(rng.random((n_users, n_items)), axis=1)[:, :8] for _ in range(2)]

    relevant = sp.csr_matrix(rng.random((n_users, n_items)) < 0.2)
    counts = rng.integers(0, 9, n_items).astype(float)
    names = ("seeds", "semantic seeds", "other", "popularity", "longer", "semantic longer")
    return Rankings(
        lists(), lists(), relevant, counts, metrics.by_count(counts),
        {name: lists() for name in names}, lists(), lists(),
    )  # fmt: skip


@pytest.mark.parametrize("finding", OF_LISTS)
def test_neither_the_order_of_users_nor_the_names_of_items_matter(
    drawn: Rankings, finding: str
) -> None:
    rng = np.random.default_rng(2)
    users, items = rng.permutation(40), rng.permutation(30)  # item i becomes items[i]
    back = np.argsort(items)

    def moved(lists: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [items[one[users]] for one in lists]

    other = Rankings(
        moved(drawn.semantic), moved(drawn.collaborative), drawn.relevant[users][:, back],
        drawn.counts[back], drawn.strata[back],
        {name: moved(lists) for name, lists in drawn.nulls.items()},
        moved(drawn.fused), moved(drawn.control),
    )  # fmt: skip
    before, after = (measures.estimates(of_lists(finding, one)) for one in (drawn, other))
    assert list(before) == list(after)
    for name, found in before.items():
        assert after[name] == pytest.approx(found), name


@pytest.mark.parametrize("finding", OF_LISTS[:-2] + OF_LISTS[-1:])
def test_a_claim_gets_all_measures_that_it_names(drawn: Rankings, finding: str) -> None:
    names = [name for name in claims.load()[finding].measures if name not in ("excess", "reach")]
    assert list(measures.measure(finding, drawn)) == names  # studies.nulls has the other two
    alone = replace(drawn, nulls={}, control=())
    assert claims.load()[finding].headline in measures.measure(finding, alone)


def test_the_nulls_are_the_same_measure_of_other_lists(drawn: Rankings) -> None:
    twins = replace(drawn, semantic=drawn.nulls["seeds"])
    for finding, head in (("F2", "jaccard"), ("F3", "complementary"), ("F3b", "own")):
        found, of_twins = (values_of(MEASURES[finding](one)) for one in (drawn, twins))
        assert found["seeds"] == of_twins[head], finding
    sizes = [abs(values_of(MEASURES["F4"](_seed(twins, s)))["gap"]) for s in (0, 1)]
    assert values_of(MEASURES["F4"](drawn))["seeds"] == pytest.approx(np.mean(sizes))


def _seed(found: Rankings, at: int) -> Rankings:
    return replace(
        found,
        semantic=found.semantic[at : at + 1],
        nulls={},
        collaborative=found.collaborative[at : at + 1],
    )


def test_the_nulls_of_an_oracle_are_of_the_better_view(drawn: Rankings) -> None:
    recalls = [np.nanmean(drawn.recalls(of)) for of in (drawn.semantic, drawn.collaborative)]
    semantic, collaborative = drawn.semantic, drawn.collaborative
    if recalls[0] >= recalls[1]:
        semantic, collaborative = collaborative, semantic
    found = replace(drawn, semantic=semantic, collaborative=collaborative)  # collaborative leads
    turned = replace(
        found, semantic=found.collaborative, collaborative=found.semantic,
        nulls=found.nulls | {"semantic seeds": found.nulls["seeds"],
                             "semantic longer": found.nulls["longer"]},
    )  # fmt: skip
    assert found.prefix == "" and turned.prefix == "semantic "
    one, other = (values_of(MEASURES["F5"](of)) for of in (found, turned))
    assert {n: one[n] for n in ("gain", "seeds", "longer")} == {
        n: other[n] for n in ("gain", "seeds", "longer")
    }


def test_the_tail_is_the_same_measure_over_each_base(drawn: Rankings) -> None:
    same = replace(drawn, semantic=drawn.collaborative, control=drawn.collaborative)
    found = values_of(MEASURES["F9"](same))
    for name in ("tail", *metrics.ITEM_STRATA):
        assert found[f"{name}_seeds"] == found[f"{name}_text"] == found[name]


def test_a_longer_list_is_cut_to_the_length_of_the_union() -> None:
    longer = [np.array([[0, 1, 2, 3], [4, 5, 2, 0], [1, 2, 3, -1]])]
    pair = (np.array([[0, 3], [2, 4], [1, -1]]), np.array([[0, 1], [4, 2], [1, -1]]))
    relevant = sp.csr_matrix(np.array([[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 1, 1, 0, 0, 0]]))
    # unions of 3, 2 and 1 items: item 2 of the first list, 5 of the second, 1 of the third
    assert measures.longer_recall([pair], longer, relevant).tolist() == [[0.5, 0.5, 0.5]]
    nulls = {"longer": longer, "semantic longer": longer}
    counts, strata = np.zeros(6), np.zeros(6, np.intp)
    found = Rankings([pair[0]], [pair[1]], relevant, counts, strata, nulls)
    # the union finds items 3, 2 and 1, the better view (semantic) as many, the longer list too
    expected = {"gain": 0, "longer": 0, "over_longer": 0}
    assert values_of(MEASURES["F5"](found)) == pytest.approx(expected)


def test_a_gain_in_words() -> None:
    assert measures.percent(Estimate(0.1234, -0.05, 0.3, 9)) == "+12.3 % [−5.0, 30.0]"
    assert measures.percent(measures.NONE) == "–"


def test_over_seeds_takes_the_mean_and_the_widest_interval() -> None:
    found = [Estimate(1.0, 0.5, 2.0, 9), Estimate(2.0, 1.0, 2.5, 9)]
    undefined = [*found, Estimate(NAN, NAN, NAN, 9)]
    measured = measures.measure("F6", reached=found, text=undefined, seeds=[])
    assert measured["reached"] == Estimate(1.5, 0.5, 2.5, 9)
    assert np.isnan(measured["text"][:3]).all() and measured["text"].n == 9
    assert np.isnan(measured["seeds"].mean) and measured["seeds"].n == 0


def test_gains_ratios_and_changes_are_of_totals() -> None:
    top, base = np.array([0.4, 0.2, NAN]), np.array([0.2, 0.1, 0.3])
    found = measures.measure("Q4", third=(top, base), seeds=None)
    assert found["third"].mean == pytest.approx(1) and found["third"].n == 2
    assert np.isnan(found["seeds"].mean)
    others = {"seeds": (top, base), "popular": (top, base), "text": (top, base)}
    inside = np.where(np.isnan(top), NAN, base)
    found = measures.measure("F11", one=(top, inside), uncut=(base, base), **others)
    assert list(found) == list(claims.load()["F11"].measures)
    assert found["one"].mean == pytest.approx(1) and found["uncut"].mean == pytest.approx(0)
    assert found["more"].mean == pytest.approx(1) and found["more"].n == 3

    rows = np.array([[2.0, 2, 2], [1, 1, 1]]), np.array([[1.0, 1, 1], [2, 2, 2]])
    found = measures.measure("F10", chosen=rows, seeds=rows)
    assert found["chosen"].mean == pytest.approx(0)
    assert found["seeds"].mean == pytest.approx(0.75)
    with pytest.raises(KeyError):
        measures.measure("F99")


def test_neighbourhood_is_small_where_items_are_few() -> None:
    found = [measures.n_neighbours(n) for n in (2, 24, 200, 201, 10_000)]
    assert found == [1, 2, 19, 20, 20]


def test_worlds_are_read_by_the_names_of_the_claims() -> None:
    names = ("overlap", "gain", "benefit", "over_seeds")
    half, whole = ({n: Estimate(x + i, 0, 1, 9) for i, n in enumerate(names)} for x in (0, 10))
    assert measures.measure("F12", half, whole)["fusion_shared"] == whole["benefit"]
    assert measures.measure("Q5", half, whole) == {
        "half": half["over_seeds"], "whole": whole["over_seeds"],
    }  # fmt: skip
