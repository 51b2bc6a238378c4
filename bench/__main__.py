"""Print one table of what the library costs beside its peers; see ``python -m bench --help``.

A section is a module of this package with ``rows(machine, repeats) -> list[Row]``; add its name
to ``SECTIONS``.
"""

from __future__ import annotations

import argparse
import csv
import json
from importlib import import_module
from pathlib import Path

from bench.measure import Machine, Row, machine

SECTIONS = ("topk", "diagnostics", "training", "text")


def main() -> None:
    """Measure the sections asked for, print the table and write it to ``--out`` if given."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds; medians are shown")
    parser.add_argument("--out", type=Path, help="also write the table to a .json or .csv file")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}: there are {', '.join(SECTIONS)}")
    here = machine(asked.threads)
    table = [
        row
        for name in asked.sections or SECTIONS
        for row in import_module(f"bench.{name}").rows(here, asked.repeats)
    ]
    print(rendered(table))
    print(
        f"\n{here.processor}, {here.threads} threads, Python {here.python}, torch {here.torch}; "
        f"medians of {asked.repeats} rounds in turn.\nratio: ours ÷ peer. floor: the more of "
        f"arithmetic at {here.flops / 1e9:,.0f} Gflop/s and bytes at "
        f"{here.bandwidth / 1e9:,.1f} GB/s, both measured now. gap: ours ÷ floor."
    )
    if asked.out:
        write(asked.out, here, table)


def rendered(table: list[Row]) -> str:
    """Return the table as aligned text."""
    head = ("what", "size", "ours", "peer", "", "ratio", "floor", "gap")
    lines = [head, *(_cells(row) for row in table)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    words = (0, 1, 4)  # columns of words stand left, numbers right
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write(path: Path, here: Machine, table: list[Row]) -> None:
    """Write the rows, as CSV if the name says so and else as JSON with the machine."""
    records = [{**vars(row), "ratio": row.ratio} for row in table]
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
    else:
        path.write_text(json.dumps({"machine": here._asdict(), "rows": records}, indent=1) + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    def amount(value: float) -> str:
        if row.unit == "s" and value < 1:
            return f"{value * 1e3:,.1f} ms"
        return f"{value:,.1f} {row.unit}"

    floor, gap = (
        ("", "") if row.floor is None else (amount(row.floor), f"{row.ours / row.floor:.1f}")
    )
    return (
        row.what, row.size, amount(row.ours), amount(row.peer), row.peer_name,
        f"{row.ratio:.2f}", floor, gap,
    )  # fmt: skip


if __name__ == "__main__":
    main()
