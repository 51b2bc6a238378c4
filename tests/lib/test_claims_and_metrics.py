"""What mutants of claims and metrics showed that no test had said."""

import numpy as np
import pytest
import scipy.sparse as sp

from lib import claims, metrics
from lib.core import InputError
from lib.stats import Estimate

NAN = float("nan")


def at(mean: float) -> Estimate:
    return Estimate(mean, mean - 0.01, mean + 0.01, 100)


@pytest.mark.parametrize(
    ("jaccard", "seeds", "other", "word", "reason"),
    [
        (0.10, 0.45, 0.40, claims.HOLDS, "{holds} and {beyond}"),
        (0.40, 0.45, 0.40, claims.FAILS, "{holds} is not met"),
        (0.30, 0.45, 0.305, claims.EXPLAINED, "jaccard.high < other.low is not met"),
        (0.30, 0.305, 0.305, claims.EXPLAINED,
         "jaccard.high < seeds.low; jaccard.high < other.low is not met"),
        (0.10, NAN, NAN, claims.UNTESTABLE, "no value for {seeds}, {other}"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_claim_its_reason_and_its_measures(
    jaccard: float, seeds: float, other: float, word: str, reason: str
) -> None:
    measures = {"jaccard": at(jaccard), "seeds": at(seeds), "other": at(other)}
    found, claim = claims.judge("F2", measures), claims.load()["F2"]
    words = {"holds": claim.holds, "beyond": claim.beyond, **claim.measures}
    assert (found.word, found.reason) == (word, reason.format(**words))
    assert found.claim is claim and found.measures == measures


def test_an_unknown_claim_is_told_which_there_are() -> None:
    with pytest.raises(InputError, match="it has F1, F2, "):
        claims.judge("F0", {})


@pytest.mark.parametrize(
    ("rule", "why"),
    [("'0.3' < 1", "'0.3' is not allowed"), ("a['b'].mean < 1", r"a\['b'\].mean is not allowed"),
     ("a.count < 1", "'count'")],
)  # fmt: skip
def test_a_rule_that_is_refused_says_what_of_it(rule: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        claims.evaluate(rule, {"a": at(0.2)})


@pytest.mark.parametrize("lists", [[[-2, 0]], [[0, -5]]])
def test_ids_below_minus_one_are_refused_wherever_they_stand(lists: list[list[int]]) -> None:
    with pytest.raises(InputError, match="ids are 0 and above, and −1 means no item"):
        metrics.checked_lists(np.array(lists))


def test_what_is_no_list_says_what_a_list_is() -> None:
    with pytest.raises(InputError, match="signed integers, one row per user and at least one col"):
        metrics.checked_lists(np.zeros((2, 0), dtype=np.int32))


def test_no_users_are_no_fault() -> None:
    nobody = np.zeros((0, 3), dtype=np.int32)
    assert len(metrics.checked_lists(nobody)) == 0
    metrics.check_items(nobody, 0)
    assert len(metrics.recall(nobody, sp.csr_matrix((0, 5)))) == 0


def test_an_item_beyond_the_catalogue_is_told_its_bounds() -> None:
    with pytest.raises(InputError, match="ids 0 to 4: use lists of the same dataset"):
        metrics.check_items(np.array([[5]]), 5)
    metrics.check_items(np.array([[4, -1]]), 5)


def test_lists_and_relevant_items_of_other_users_are_refused() -> None:
    with pytest.raises(InputError, match="with relevant items of 3; give both for the same users"):
        metrics.recall(np.array([[0], [1]]), sp.csr_matrix((3, 5)))


def test_how_much_a_list_holds() -> None:
    lists = np.array([[0, 1, -1], [-1, -1, -1], [4, 0, 2], [3, -1, -1]])
    assert metrics.filled(lists).tolist() == [2, 0, 3, 1]
    assert metrics.filled(lists[:1]).tolist() == [2]


def test_lists_of_the_same_users() -> None:
    one, other = np.array([[0], [1]]), np.array([[1, 2], [0, 1]])
    found = metrics.same_users(one, other)
    assert [array.tolist() for array in found] == [one.tolist(), other.tolist()]
    with pytest.raises(InputError, match="lists of 2, 1 users were given; give at least one arr"):
        metrics.same_users(one, other[:1])
    with pytest.raises(InputError, match="lists of no users were given"):
        metrics.same_users()


def test_a_length_is_at_least_one() -> None:
    metrics.check_k(1)
    with pytest.raises(InputError, match="k = 0 was given; give a list length of at least 1"):
        metrics.check_k(0)


@pytest.mark.filterwarnings("error")
def test_users_without_relevant_items_are_nan_without_a_warning() -> None:
    lists, nothing = np.array([[0, 1]]), sp.csr_matrix((1, 5))
    assert np.isnan(metrics.recall(lists, nothing)).all()
    assert np.isnan(metrics.ndcg(lists, nothing)).all()
