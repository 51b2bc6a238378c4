"""Rules, verdicts, and the file that holds them."""

import math

import pytest

from lib import claims
from lib.core import InputError
from lib.stats import Estimate


def at(mean: float, half: float = 0.01) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100)


def judged(jaccard: float, seeds: float, other: float) -> claims.Verdict:
    return claims.judge("F2", {"jaccard": at(jaccard), "seeds": at(seeds), "other": at(other)})


def test_the_four_verdicts() -> None:
    assert judged(0.10, 0.45, 0.40).word == claims.HOLDS
    assert judged(0.40, 0.45, 0.40).word == claims.FAILS
    explained = judged(0.30, 0.45, 0.305)
    assert explained.word == claims.EXPLAINED
    assert explained.reason == "jaccard.high < other.low is not met"
    missing = claims.judge("F2", {"jaccard": at(0.1), "seeds": at(0.4), "other": at(math.nan)})
    assert missing.word == claims.UNTESTABLE
    assert missing.measures["jaccard"] == at(0.1)


def test_an_interval_that_touches_the_threshold_does_not_hold() -> None:
    assert judged(1 / 3 - 0.005, 0.45, 0.45).word == claims.FAILS


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ("a.mean < 0.5 and b.low > 0.5", True),
        ("a.mean > 0.5 or b.low > 0.5", True),
        ("a.high < -b.high", False),
        ("(a.mean + b.mean) * 2 / 4 >= 0.4", True),
        ("b.mean - a.mean <= a.n", True),
    ],
)
def test_what_a_rule_may_say(rule: str, met: bool) -> None:
    assert claims.evaluate(rule, {"a": at(0.2), "b": at(0.7)}) is met


@pytest.mark.parametrize(
    "rule",
    ["__import__('os')", "a.mean.real < 1", "a['x'] < 1", "c.mean < 1", "a.mean <", "a.count < 1",
     "a.mean < 1 < 2", "a.mean / 0 < 1", "a.mean ** 2 < 1", "-" * 9999 + "1",
     "(" * 199 + "-" * 999 + "1"],
)  # fmt: skip
def test_what_a_rule_may_not_say(rule: str) -> None:
    with pytest.raises(InputError, match="correct it in claims.yml"):
        claims.evaluate(rule, {"a": at(0.2)})


def test_unknown_claims_and_measures_are_refused() -> None:
    with pytest.raises(InputError, match="F99"):
        claims.judge("F99", {})
    with pytest.raises(InputError, match="needs"):
        claims.judge("F2", {"jaccard": at(0.1)})


@pytest.mark.parametrize("claim", claims.load().values(), ids=lambda claim: claim.id)
def test_every_rule_in_the_file_can_be_evaluated(claim: claims.Claim) -> None:
    measures = {name: at(0.3) for name in claim.measures}
    assert {claim.headline, claim.beside} <= set(claim.measures)
    assert claims.judge(claim.id, measures).word in claims.VERDICTS
    for rule in (claim.holds, claim.beyond):
        assert isinstance(claims.evaluate(rule, measures), bool)
