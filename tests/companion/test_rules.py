"""Rules and verdicts in words."""

import pytest

from companion.rules import in_words, said, telling, why
from lib import claims
from lib.stats import Estimate

WORDS = {"a": "gain", "b": "gain of two seeds"}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("a.low > 0.80 and a.high < 1.25", ["gain: above 0.8 and below 1.25"]),
        ("a.high < 1 / 3", ["gain: below 1/3"]),
        ("a.low > -0.2 and b.low <= 0",
         ["gain: above minus 0.2", "gain of two seeds: not above 0"]),
        ("a.low > b.high or a.high < -b.high",
         ["gain: above gain of two seeds; or gain: below minus gain of two seeds"]),
    ],
)  # fmt: skip
def test_rules_are_said_in_words(rule: str, words: list[str]) -> None:
    assert in_words(rule, WORDS) == words


def test_every_rule_can_be_said() -> None:
    for claim in claims.load().values():
        for rule in filter(None, (claim.holds, claim.beyond, claim.partly)):
            words = " ".join(in_words(rule, claim.measures))
            assert ".low" not in words and ".high" not in words


def test_every_verdict_is_a_predicate() -> None:
    assert said(claims.NOT_BEYOND, "on ml-100k") == "holds on ml-100k, but not beyond its null"
    assert said(claims.FAILS) == "does not hold"
    for word in claims.VERDICTS:
        assert " there" in said(word, "there") and "  " not in said(word)


@pytest.mark.parametrize(
    ("claim", "means", "names"),
    [
        ("F2", {}, ["jaccard", "reach"]),  # its headline fails
        ("F9", {}, ["tail", "tail_seeds"]),  # all is met
        ("F9", {"cold_text": -1.0}, ["tail", "cold_text"]),
        ("F9", {"cold": -1.0, "cold_text": -1.0}, ["tail", "cold"]),
        ("F9", {"tail": -1.0, "cold": -1.0}, ["tail", "tail_seeds"]),
        ("F7b", {"random_r2": 0.6, "cluster_r2": 0.7}, ["cold", "cluster_r2", "random_r2"]),
        ("F12", {}, ["gain", "gain_shared"]),
    ],
)
def test_a_verdict_is_told_by_its_headline_and_what_decided(
    claim: str, means: dict[str, float], names: list[str]
) -> None:
    measures = dict.fromkeys(claims.load()[claim].measures, 0.5) | means
    found = {name: Estimate(x, x, x, 9) for name, x in measures.items()}
    assert telling(claims.judge(claim, found)) == names


def test_every_verdict_says_why() -> None:
    def at(mean: float) -> Estimate:
        return Estimate(mean, mean - 0.01, mean + 0.01, 9)

    def reason(claim: str, **means: float) -> str:
        names = dict.fromkeys(claims.load()[claim].measures, 0.5)
        return why(claims.judge(claim, {name: at(x) for name, x in (names | means).items()}))

    assert (
        reason("F2", jaccard=0.5) == "Not met: semantic list against collaborative list: below 1/3."
    )
    assert reason("F2", jaccard=0.335).endswith("below 1/3, and not excluded.")
    assert reason("F2", jaccard=0.1).startswith(
        "Met: semantic list against collaborative list: below"
    )
    assert "beyond the null, recall of the semantic view" in reason("F1", ratio=1, popularity=0.1)
    assert reason("F1", ratio=float("nan")) == "no value for semantic over collaborative recall."
