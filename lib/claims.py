"""The paper's findings, their rules in ``claims.yml``, and the verdicts that these give."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import yaml

from lib.core import InputError, shown
from lib.stats import Estimate

HOLDS = "holds"
PARTLY = "depends on width"
NOT_BEYOND = "holds, but not beyond its null"
FAILS = "does not hold"
UNDECIDED = "undecided"
UNTESTABLE = "not testable here"
NO_INSTRUMENT = "no calibrated instrument"
VERDICTS = (HOLDS, PARTLY, NOT_BEYOND, FAILS, UNDECIDED, UNTESTABLE, NO_INSTRUMENT)


@dataclass(frozen=True)
class Claim:
    """One finding: the paper's number, our measures by name, and the two parts of its rule.

    A finding about what only text has must exceed its null ``instrument`` by a margin of known
    rates of error, ``beyond``; where data have or reach none (``able``), it is described.
    ``partly`` is what may be met where ``holds`` is not: at one of two widths. Where the rule of
    the claim ``premise`` is not met, the data are outside the regime that the finding speaks of.
    ``amended`` says what of the rule was changed after a run that it had judged.
    """

    id: str
    family: str
    chapter: str
    finding: str
    paper: str
    headline: str
    beside: str
    unit: str
    measures: dict[str, str]
    holds: str
    control: str
    beyond: str = ""
    instrument: str = ""
    able: str = ""
    partly: str = ""
    premise: str = ""
    amended: str = ""


@dataclass(frozen=True)
class Verdict:
    """One of ``VERDICTS``, with its measures and what decided.

    ``unmet`` are the parts of the rule that the data do not meet, as expressions; ``note`` is what
    else there is to say of it. ``outside`` is the premise that is not met.
    """

    claim: Claim
    word: str
    measures: dict[str, Estimate]
    unmet: tuple[str, ...] = ()
    note: str = ""
    outside: str = ""

    @property
    def reason(self) -> str:
        """Why, with the rules as expressions."""
        if self.unmet:
            return f"{'; '.join(self.unmet)} is not met{self.note and f', {self.note}'}"
        if self.word == HOLDS:
            return f"{self.claim.holds} and {self.claim.beyond}"
        met = f"{self.claim.holds} is met; " if self.word == NO_INSTRUMENT else ""
        return met + self.note


@cache
def load() -> dict[str, Claim]:
    """Return all claims by id, in the order of the file."""
    here = Path(__file__).parent  # an installed library has the file inside it
    path = next(p for p in (here.parent / "claims.yml", here / "claims.yml") if p.exists())
    rows: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {row["id"]: Claim(**row) for row in rows}


def judge(claim_id: str, measures: Mapping[str, Estimate]) -> Verdict:
    """Apply a claim's rule to its measures, which must be those that the claim names."""
    claim = load().get(claim_id) if isinstance(claim_id, str) else None
    if claim is None:
        told = f"claim {shown(claim_id)!r} is not in claims.yml"
        raise InputError(f"{told}; it has {', '.join(load())}")
    if not isinstance(measures, Mapping) or set(measures) != set(claim.measures):
        named = isinstance(measures, Mapping)
        given = f"the measures {sorted(map(shown, measures))}" if named else shown(measures)
        told = f"claim {claim_id} was given {given}"
        raise InputError(f"{told}; its rule needs {sorted(claim.measures)}")
    if other := [name for name, value in measures.items() if not isinstance(value, Estimate)]:
        raise InputError(f"{other[0]} of claim {claim_id} is no Estimate; give one of lib.summary")
    verdict = partial(Verdict, claim, measures=dict(measures))
    # lists alone have no vectors to match in strength, and so no excess
    unknown = claim.instrument and _without_value(claim.beyond, measures)
    unable = claim.able and not unknown and not evaluate(claim.able, measures)
    beyond = "" if unknown or unable else claim.beyond
    if empty := _without_value(f"({claim.holds}) and ({beyond or claim.holds})", measures):
        note = f"no value for {', '.join(claim.measures[name] for name in empty)}"
        return verdict(UNTESTABLE, note=note)
    if unmet := _unmet(claim.holds, measures):
        if claim.partly and evaluate(claim.partly, measures):
            return verdict(PARTLY, unmet=unmet)
        if excluded := _unmet(claim.holds, _turned(measures)):
            return verdict(FAILS, unmet=excluded)
        return verdict(UNDECIDED, unmet=unmet, note="and not excluded")
    if not beyond:
        known = "no null with a known, small rate of error shows more"
        never = "no excess over the null could be above the margin on this data"
        return verdict(NO_INSTRUMENT, note=never if unable else known)
    if unmet := _unmet(beyond, measures):
        if not claim.instrument:
            return verdict(NOT_BEYOND, unmet=unmet)
        note = "as in most worlds with a part private to text (chapter 17)"
        return verdict(UNDECIDED, unmet=unmet, note=note)
    return verdict(HOLDS)


def _without_value(rule: str, measures: Mapping[str, Estimate]) -> list[str]:
    """Return the measures of a rule that are NaN, in the order of ``measures``."""
    used = {node.id for node in ast.walk(ast.parse(rule)) if isinstance(node, ast.Name)}
    return [name for name, of in measures.items() if name in used and math.isnan(of.mean)]


def outside(claim: Claim, premise: Mapping[str, Estimate]) -> str:
    """Return which rule of its premise the data do not meet by its measures, "" for none."""
    if not claim.premise or not premise or any(math.isnan(of.mean) for of in premise.values()):
        return ""
    rule = load()[claim.premise].holds
    return "" if evaluate(rule, premise) else f"{claim.premise}'s {rule} is not met"


def p_value(rule: str, measures: Mapping[str, Estimate]) -> float:
    """Return the two-sided p-value of a rule by the delta method; 1 if the means alone fail it.

    A comparison is the difference of its sides. Its standard error adds those of its measures as
    independent ones', each from its interval as if normal: for measures of the same users, which
    vary together, p is too large rather than too small. A conjunction has the largest p of its
    parts (Berger 1982), a disjunction the smallest.
    """
    if any(math.isnan(of.mean) for of in measures.values()):
        return 1.0
    means = {name: of._replace(low=of.mean, high=of.mean) for name, of in measures.items()}

    def p_of(node: ast.AST) -> float:
        if isinstance(node, ast.BoolOp):
            parts = map(p_of, node.values)
            return max(parts) if isinstance(node.op, ast.And) else min(parts)
        assert isinstance(node, ast.Compare)  # evaluate has refused all else

        def lead(given: Mapping[str, Estimate]) -> float:
            left, right = _value(node.left, given), _value(node.comparators[0], given)
            return float(
                left - right if isinstance(node.ops[0], ast.Gt | ast.GtE) else right - left
            )

        apart = lead(means)
        error = math.hypot(*(apart - lead(means | {n: of}) for n, of in measures.items()))
        z = NormalDist().inv_cdf(0.975) * apart / error if error else math.inf
        return math.erfc(z / math.sqrt(2)) if apart > 0 else 1.0

    evaluate(rule, measures)
    return p_of(ast.parse(rule, mode="eval").body)


def _turned(measures: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Return measures with the ends of their intervals exchanged.

    A rule asks for the end that is against it: with the other ends it is met where the data do not
    exclude it.
    """
    return {name: of._replace(low=of.high, high=of.low) for name, of in measures.items()}


def _unmet(rule: str, measures: Mapping[str, Estimate]) -> tuple[str, ...]:
    """Return the parts of a conjunction that are not met."""
    tree = ast.parse(rule, mode="eval").body
    parts = [rule]
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        parts = list(map(ast.unparse, tree.values))
    return tuple(part for part in parts if not evaluate(part, measures))


_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def evaluate(rule: str, measures: Mapping[str, Estimate]) -> bool:
    """Return whether a rule is met; it may hold comparisons, and/or, + − × ÷ and nothing else."""
    try:
        return bool(_value(ast.parse(rule, mode="eval").body, measures))
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, ArithmeticError) as fault:
        why = str(fault)  # a null byte is a ValueError or a SyntaxError, by the version of Python
    except (MemoryError, RecursionError):  # raised by Python's parser at very deep nesting
        why = "it is nested too deeply"
    raise InputError(f"the rule {rule!r} cannot be evaluated ({why}); correct it in claims.yml")


def _value(node: ast.AST, measures: Mapping[str, Estimate]) -> Any:
    if isinstance(node, ast.BoolOp):
        parts = [_value(part, measures) for part in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _value(node.left, measures), _value(node.comparators[0], measures)
        return _OPERATORS[type(node.ops[0])](left, right)
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, measures), _value(node.right, measures))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, measures)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        if node.attr not in Estimate._fields:
            raise KeyError(node.attr)
        return getattr(measures[node.value.id], node.attr)
    raise TypeError(f"{ast.unparse(node)} is not allowed")
