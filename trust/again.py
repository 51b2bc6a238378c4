"""The published chapters beside those that were executed here: do they say the same?

Nothing is executed: ``make chapters`` comes first, perhaps on another machine than the published.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from lib import book, comparison
from trust.figures import ROOT, Figure


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per dataset: findings that were judged again, and those judged the same."""
    table, _ = comparison.compared(ROOT / book.EXECUTED, ROOT / book.BUILD / book.EXECUTED)
    before, now = (table[name] for name in comparison.VERDICTS)
    for dataset, rows in table.assign(same=before == now).groupby("dataset", sort=False):
        furthest = rows.loc[rows["apart"].idxmax()]
        yield Figure(
            f"verdicts on {dataset}",
            len(rows),
            int(rows["same"].sum()),
            f"all measures inside the published intervals: {(rows['apart'] <= 1).sum()}, equal: "
            f"{(rows['apart'] == 0).sum()}; furthest: {furthest['finding']} {furthest['measure']}, "
            f"{furthest['apart']:.2f} half intervals",
        )
