"""The published chapters beside those that were executed here: do they say the same?

Nothing is executed: ``make chapters`` comes first, perhaps on another machine than the published.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from companion import comparison, site
from trust.figures import ROOT, Figure


def figures(options: argparse.Namespace) -> Iterator[Figure]:
    """Yield a line per dataset: findings that were judged again, and those judged the same."""
    table, _ = comparison.compared(ROOT / site.EXECUTED, ROOT / site.BUILD / site.EXECUTED)
    for dataset, rows in table.groupby("dataset", sort=False):
        counts, furthest = comparison.counted(rows), rows.loc[rows["apart"].idxmax()]
        yield Figure(
            f"verdicts on {dataset}",
            len(rows),
            counts.same,
            f"all measures inside the published intervals: {counts.inside}, equal: {counts.equal}; "
            f"furthest: {furthest['finding']} {furthest['measure']}, {furthest['apart']:.2f} half "
            "intervals",
        )
