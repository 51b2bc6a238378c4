"""Rules of ``claims.yml`` as sentences for people; ``lib.claims`` evaluates them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from lib import claims

_SIDES = {
    (ast.Gt, "low"): "above", (ast.GtE, "low"): "at least",
    (ast.Lt, "high"): "below", (ast.LtE, "high"): "at most", (ast.LtE, "low"): "not above",
}  # fmt: skip


def in_words(rule: str, measures: Mapping[str, str]) -> str:
    """Return a rule in words: each measure by its description, and where its interval must lie."""
    return _words(ast.parse(rule, mode="eval").body, measures)


def _words(node: ast.AST, measures: Mapping[str, str]) -> str:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
        return "; or ".join(_words(part, measures) for part in node.values)
    asked: dict[str, list[str]] = {}
    for part in node.values if isinstance(node, ast.BoolOp) else [node]:
        assert isinstance(part, ast.Compare) and isinstance(part.left, ast.Attribute)
        side = _SIDES[type(part.ops[0]), part.left.attr]
        place = f"{side} {_side(part.comparators[0], measures)}"
        asked.setdefault(_side(part.left, measures), []).append(place)
    return "; ".join(f"{what}: {' and '.join(places)}" for what, places in asked.items())


def _side(node: ast.AST, measures: Mapping[str, str]) -> str:
    if isinstance(node, ast.UnaryOp):
        return f"minus {_side(node.operand, measures)}"
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return measures[node.value.id]
    return ast.unparse(node).replace(" / ", "/")


def why(verdict: claims.Verdict) -> str:
    """Return in words which part of the rule decided; the reason as it is where it is no rule."""
    claim, unmet = verdict.claim, re.fullmatch(r"(.*) is not met(.*)", verdict.reason)
    if unmet:
        parts = "; ".join(in_words(part, claim.measures) for part in unmet[1].split("; "))
        return f"Not met: {parts}{unmet[2]}."
    if verdict.word == claims.NO_INSTRUMENT:
        told = "no null with a known, small rate of error shows more"
        return f"Met: {in_words(claim.holds, claim.measures)}; {told}."
    if verdict.word == claims.HOLDS:
        rules = (in_words(rule, claim.measures) for rule in (claim.holds, claim.beyond))
        return f"Met: {'; beyond the null, '.join(rules)}."
    return f"{verdict.reason}."
