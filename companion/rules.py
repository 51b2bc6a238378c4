"""Rules of ``claims.yml`` and verdicts in words for people; ``lib.claims`` evaluates them."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from lib import claims

_SAID = {
    claims.HOLDS: "holds{}",
    claims.PARTLY: "holds{} at one of two widths only",
    claims.NOT_BEYOND: "holds{}, but not beyond its null",
    claims.FAILS: "does not hold{}",
    claims.UNDECIDED: "is undecided{}",
    claims.UNTESTABLE: "cannot be tested{}",
    claims.NO_INSTRUMENT: "is seen{}, but no calibrated null can confirm it",
}
_SIDES = {
    (ast.Gt, "low"): "above", (ast.GtE, "low"): "at least",
    (ast.Lt, "high"): "below", (ast.LtE, "high"): "at most", (ast.LtE, "low"): "not above",
}  # fmt: skip


def said(word: str, where: str = "") -> str:
    """Return the predicate of a verdict: "holds on ml-100k, but not beyond its null"."""
    return _SAID[word].format(where and f" {where}")


def telling(verdict: claims.Verdict) -> list[str]:
    """Return which measures tell a verdict: the headline, and what it is compared with.

    That is the measure beside it, or what failed its condition first if the headline did not.
    """
    claim = verdict.claim
    parts = [ast.walk(ast.parse(part)) for part in verdict.unmet]
    asked = [[node.id for node in part if isinstance(node, ast.Name)] for part in parts]
    if asked and claim.headline not in sum(asked, []):
        return list(dict.fromkeys([claim.headline, *asked[0]]))
    return [claim.headline, claim.beside]


def in_words(rule: str, measures: Mapping[str, str]) -> list[str]:
    """Return a rule in words: each measure by its description, and where its interval must lie."""
    node = ast.parse(rule, mode="eval").body
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        either = (in_words(ast.unparse(part), measures) for part in node.values)
        return ["; or ".join(map("; ".join, either))]
    asked: dict[str, list[str]] = {}
    for part in node.values if isinstance(node, ast.BoolOp) else [node]:
        assert isinstance(part, ast.Compare) and isinstance(part.left, ast.Attribute)
        side = _SIDES[type(part.ops[0]), part.left.attr]
        place = f"{side} {_side(part.comparators[0], measures)}"
        asked.setdefault(_side(part.left, measures), []).append(place)
    return [f"{what}: {' and '.join(places)}" for what, places in asked.items()]


def _side(node: ast.AST, measures: Mapping[str, str]) -> str:
    if isinstance(node, ast.UnaryOp):
        return f"minus {_side(node.operand, measures)}"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return measures[node.value.id]
    return ast.unparse(node).replace(" / ", "/")


def why(verdict: claims.Verdict) -> str:
    """Return in words which part of the rule decided."""
    claim = verdict.claim

    def words(*rules: str) -> str:
        return "; ".join(part for rule in rules for part in in_words(rule, claim.measures))

    if verdict.unmet:
        return f"Not met: {words(*verdict.unmet)}{verdict.note and f', {verdict.note}'}."
    if verdict.word == claims.NO_INSTRUMENT:
        return f"Met: {words(claim.holds)}; {verdict.note}."
    if verdict.word == claims.HOLDS:
        return f"Met: {words(claim.holds)}; beyond the null, {words(claim.beyond)}."
    return f"{verdict.note}."
