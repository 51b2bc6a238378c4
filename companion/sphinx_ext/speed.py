"""Sphinx directive ``speed``: the table of ``bench/results.json``, with the machine it is of."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.sphinx_ext.project_json import project_json, table

HEAD = ("what", "ours", "peer", "ratio", "floor")


class Speed(SphinxDirective):
    """Show what ``python -m bench --out bench/results.json`` measured last."""

    def run(self) -> list[nodes.Node]:
        """Return the table and the line under it."""
        found = project_json(self, "bench/results.json")
        if not found:
            return [nodes.paragraph(text="Not measured yet.")]
        rows = [cells(row) for row in found["rows"]]
        return [table(HEAD, rows), nodes.paragraph(text=origin(found["machine"]))]


def origin(facts: dict[str, Any]) -> str:
    """Return the line that says on what machine the figures were measured."""
    return (
        f"{facts['processor']}, {facts['threads']} threads, Python {facts['python']}, torch "
        f"{facts['torch']}; {facts['flops'] / 1e9:,.0f} Gflop/s and "
        f"{facts['bandwidth'] / 1e9:,.1f} GB/s at best, measured in the same run."
    )


def cells(row: dict[str, Any]) -> list[str]:
    """Return one row of the table."""
    least, unit = row["floor"], row["unit"]
    return [
        f"{row['what']}\n{row['size']}",
        amount(row["ours"], unit),
        f"{amount(row['peer'], unit)}\n{row['peer_name']}",
        f"{row['ratio']:.2f}" if row["ratio"] >= 0.1 else f"{row['ratio']:.3f}",
        "" if least is None else f"{amount(least, unit)}\n× {row['ours'] / least:.1f}",
    ]


def amount(value: float, unit: str) -> str:
    """Return an amount with its unit, seconds below one in thousandths."""
    if unit == "s" and value < 1:
        return f"{value * 1e3:,.1f}\N{NO-BREAK SPACE}ms"
    return f"{value:,.1f}\N{NO-BREAK SPACE}{unit}" if unit else f"{value:.3g}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the directive."""
    app.add_directive("speed", Speed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
