"""Rules in words."""

import pytest

from companion.rules import in_words, why
from lib import claims
from lib.stats import Estimate

WORDS = {"a": "gain", "b": "gain of two seeds"}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("a.low > 0.80 and a.high < 1.25", "gain: above 0.8 and below 1.25"),
        ("a.high < 1 / 3", "gain: below 1/3"),
        ("a.low > -0.2 and b.low <= 0", "gain: above minus 0.2; gain of two seeds: not above 0"),
        ("a.low > b.high or a.high < -b.high",
         "gain: above gain of two seeds; or gain: below minus gain of two seeds"),
    ],
)  # fmt: skip
def test_rules_are_said_in_words(rule: str, words: str) -> None:
    assert in_words(rule, WORDS) == words


def test_every_rule_can_be_said() -> None:
    for claim in claims.load().values():
        for rule in filter(None, (claim.holds, claim.beyond, claim.partly)):
            said = in_words(rule, claim.measures)
            assert ".low" not in said and ".high" not in said


def test_every_verdict_says_why() -> None:
    def at(mean: float) -> Estimate:
        return Estimate(mean, mean - 0.01, mean + 0.01, 9)

    def said(claim: str, **means: float) -> str:
        names = dict.fromkeys(claims.load()[claim].measures, 0.5)
        return why(claims.judge(claim, {name: at(x) for name, x in (names | means).items()}))

    assert (
        said("F2", jaccard=0.5) == "Not met: semantic list against collaborative list: below 1/3."
    )
    assert said("F2", jaccard=0.335).endswith("below 1/3, and not excluded.")
    assert said("F2", jaccard=0.1).startswith(
        "Met: semantic list against collaborative list: below"
    )
    assert "beyond the null, recall of the semantic view" in said("F1", ratio=1, popularity=0.1)
    assert said("F1", ratio=float("nan")) == "no value for semantic over collaborative recall."
