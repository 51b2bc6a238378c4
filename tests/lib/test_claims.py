"""Rules, verdicts, and the file that holds them."""

import math
from dataclasses import replace

import pytest

from lib import claims
from lib.core import InputError
from lib.stats import Estimate


def at(mean: float, half: float = 0.01) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100)


JACCARD = claims.Claim(
    id="X", family="description", chapter="03-agreement", finding="Lists hardly overlap.", paper="",
    headline="jaccard", beside="seeds", unit="", holds="jaccard.high < 1 / 3", control="two seeds",
    measures={"jaccard": "both views", "seeds": "two seeds", "other": "another model"},
    beyond="jaccard.high < seeds.low and jaccard.high < other.low",
)  # fmt: skip


@pytest.mark.parametrize(
    ("jaccard", "seeds", "other", "word", "reason"),
    [
        (0.10, 0.45, 0.40, claims.HOLDS, "{holds} and {beyond}"),
        (0.40, 0.45, 0.40, claims.FAILS, "{holds} is not met"),
        # the interval holds the threshold
        (1 / 3 - 0.005, 0.45, 0.45, claims.UNDECIDED, "{holds} is not met, and not excluded"),
        (0.30, 0.45, 0.305, claims.NOT_BEYOND, "jaccard.high < other.low is not met"),
        (0.30, 0.305, 0.305, claims.NOT_BEYOND,
         "jaccard.high < seeds.low; jaccard.high < other.low is not met"),
        (0.10, 0.40, math.nan, claims.UNTESTABLE, "no value for {other}"),
        (0.10, math.nan, math.nan, claims.UNTESTABLE, "no value for {seeds}, {other}"),
    ],
)  # fmt: skip
def test_every_verdict_has_its_claim_its_reason_and_its_measures(
    monkeypatch: pytest.MonkeyPatch,
    jaccard: float, seeds: float, other: float, word: str, reason: str,
) -> None:  # fmt: skip
    measures, claim = {"jaccard": at(jaccard), "seeds": at(seeds), "other": at(other)}, JACCARD
    monkeypatch.setattr(claims, "load", lambda: {"X": claim})
    found = claims.judge("X", measures)
    words = {"holds": claim.holds, "beyond": claim.beyond, **claim.measures}
    assert (found.word, found.reason) == (word, reason.format(**words))
    assert found.claim is claim and found.measures == measures


@pytest.mark.parametrize(
    ("a", "b", "word", "reason"),
    [
        (0.1, 0.1, claims.HOLDS, "{holds} and {beyond}"),
        (0.1, -0.1, claims.PARTLY, "b.low > 0 is not met"),
        (-0.1, 0.1, claims.PARTLY, "a.low > 0 is not met"),
        (-0.1, -0.1, claims.FAILS, "a.low > 0; b.low > 0 is not met"),
        (-0.005, 0.005, claims.UNDECIDED, "a.low > 0; b.low > 0 is not met, and not excluded"),
        (-0.1, 0.005, claims.FAILS, "a.low > 0 is not met"),  # b's interval excludes nothing
    ],
)
def test_a_rule_met_at_one_of_two_widths_depends_on_width(
    monkeypatch: pytest.MonkeyPatch, a: float, b: float, word: str, reason: str
) -> None:
    rules = {"holds": "a.low > 0 and b.low > 0", "beyond": "a.mean < 1"}
    names = {"a": "in all", "b": "a view"}
    claim = replace(JACCARD, **rules, partly="a.low > 0 or b.low > 0", measures=names)
    monkeypatch.setattr(claims, "load", lambda: {"X": claim})
    found = claims.judge("X", {"a": at(a), "b": at(b)})
    assert (found.word, found.reason) == (word, reason.format(**rules))


def test_data_are_outside_a_regime_where_the_premise_is_not_met() -> None:
    weak, alike, unknown = ({"ratio": at(mean)} for mean in (0.56, 1.0, math.nan))
    f5, f2 = claims.load()["F5"], claims.load()["F2"]
    assert claims.outside(f5, weak) == f"F1's {claims.load()['F1'].holds} is not met"
    assert not claims.outside(f5, alike) and not claims.outside(f2, weak)
    assert not claims.outside(f5, unknown) and not claims.outside(f5, {})
    premises = {claim.id: claim.premise for claim in claims.load().values() if claim.premise}
    assert set(premises) == {"F3b", "F5", "F8", "F9", "F9b"} and set(premises.values()) == {"F1"}


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


@pytest.mark.parametrize(
    ("rule", "why"),
    [("'0.3' < 1", "'0.3' is not allowed"), ("a['b'].mean < 1", r"a\['b'\].mean is not allowed"),
     ("a.count < 1", "'count'")],
)  # fmt: skip
def test_a_rule_that_is_refused_says_what_of_it(rule: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        claims.evaluate(rule, {"a": at(0.2)})


@pytest.mark.parametrize(
    ("jaccard", "excess", "reach", "word", "reason"),
    [
        (0.1, 0.5, 0.6, claims.HOLDS, "{holds} and {beyond}"),
        (0.1, 0.2, 0.3, claims.UNDECIDED, "{beyond} is not met, as in most worlds"),
        # two seeds share less than the margin: a text that shared nothing could not pass
        (0.1, 0.1, 0.2, claims.NO_INSTRUMENT, "{holds} is met; no excess over the null could be"),
        # lists from elsewhere have no vectors to match in strength
        (0.1, math.nan, math.nan, claims.NO_INSTRUMENT, "{holds} is met; no null"),
        (0.4, math.nan, math.nan, claims.FAILS, "{holds} is not met"),
        (math.nan, 0.5, 0.6, claims.UNTESTABLE, "no value for {jaccard}"),
    ],
)
def test_what_only_text_has_must_exceed_a_calibrated_null(
    jaccard: float, excess: float, reach: float, word: str, reason: str
) -> None:
    measures = {"jaccard": jaccard, "seeds": 0.5, "other": 0.5, "excess": excess, "reach": reach}
    found = claims.judge("F2", {name: at(value) for name, value in measures.items()})
    words = {"holds": found.claim.holds, "beyond": found.claim.beyond, **found.claim.measures}
    assert found.word == word and found.reason.startswith(reason.format(**words))


def test_without_a_null_a_pattern_is_described_and_not_ticked() -> None:
    found = claims.judge("F4", {"gap": at(-0.1), "seeds": at(0.5), "other": at(0.5)})
    assert found.word == claims.NO_INSTRUMENT and found.reason.startswith(found.claim.holds)


def test_only_what_only_text_has_is_judged_by_a_calibrated_null_or_by_none() -> None:
    every = claims.load().values()
    assert {claim.family for claim in every} == {
        "description", "identification", "decision", "theory",
    }  # fmt: skip
    of_text = {claim.id for claim in every if claim.family == "identification"}
    assert {claim.id for claim in every if claim.instrument or not claim.beyond} == of_text
    for claim in filter(lambda claim: claim.instrument, every):
        assert claim.beyond.startswith("excess.low > 0.") and "excess" in claim.measures
        overlap = claim.id in ("F2", "F13")  # an excess of overlap is at most the null's own
        assert claim.able == claim.beyond.replace("excess.low", "reach.high") * overlap


def test_unknown_claims_and_measures_are_refused() -> None:
    with pytest.raises(InputError, match="'F99' .* it has F1, F2, "):
        claims.judge("F99", {})
    with pytest.raises(InputError, match="needs"):
        claims.judge("F2", {"jaccard": at(0.1)})


@pytest.mark.parametrize("claim", claims.load().values(), ids=lambda claim: claim.id)
def test_every_rule_in_the_file_can_be_evaluated(claim: claims.Claim) -> None:
    measures = {name: at(0.3) for name in claim.measures}
    assert {claim.headline, claim.beside} <= set(claim.measures)
    assert claims.judge(claim.id, measures).word in claims.VERDICTS
    for rule in filter(None, (claim.holds, claim.beyond)):
        assert isinstance(claims.evaluate(rule, measures), bool)


def test_p_of_one_measure_is_that_of_a_normal_estimate() -> None:
    two_errors = Estimate(1.0, 1.0 - 1.959964 * 0.5, 1.0 + 1.959964 * 0.5, 100)  # z = 2
    assert claims.p_value("a.low > 0", {"a": two_errors}) == pytest.approx(0.0455, abs=1e-4)
    assert claims.p_value("a.high < 2", {"a": two_errors}) == pytest.approx(0.0455, abs=1e-4)
    assert claims.p_value("a.high < 0", {"a": two_errors}) == 1.0
    assert claims.p_value("a.low > 0", {"a": Estimate(math.nan, math.nan, math.nan, 0)}) == 1.0


def test_p_of_two_measures_is_that_of_their_difference() -> None:
    a, b = at(0.0, 1.959964), at(3.9, 1.959964)  # standard errors of 1: z = 3.9 / sqrt(2)
    found = claims.p_value("a.high < b.low", {"a": a, "b": b})
    assert found == pytest.approx(math.erfc(3.9 / math.sqrt(2) / math.sqrt(2)), rel=1e-5)


def test_p_of_a_conjunction_is_the_largest_of_its_parts_of_a_disjunction_the_smallest() -> None:
    measures = {"a": at(0.03), "b": at(0.015)}
    each = [claims.p_value(f"{name}.low > 0", measures) for name in measures]
    assert claims.p_value("a.low > 0 and b.low > 0", measures) == max(each)
    assert claims.p_value("a.low > 0 or b.low > 0", measures) == min(each)
    assert each[0] < each[1] < 0.05


@pytest.mark.parametrize("mean", [-0.02, 0.005, 0.009, 0.0101, 0.02])
def test_p_is_below_a_twentieth_where_the_rule_is_met(mean: float) -> None:
    measures = {"a": at(mean)}
    assert (claims.p_value("a.low > 0", measures) < 0.05) == claims.evaluate("a.low > 0", measures)


def test_a_measure_that_no_rule_reads_may_be_missing() -> None:
    none = Estimate(math.nan, math.nan, math.nan, 0)
    measures = {"jaccard": at(0.4), "seeds": none, "other": none, "excess": none, "reach": none}
    assert claims.judge("F2", measures).word == claims.FAILS
