"""Try what the answers rest on and print one table a section; see ``python -m trust --help``.

A section is a module of this package with ``figures(options) -> Iterator[Figure]``; some are run
and kept by part, such as ``mutation/topk``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from lib.core import InputError
from trust import mutation
from trust.figures import WORK, Figure, keep, rendered

SECTIONS = ("determinism", "kills", "faults", "hostile", "laws", "mutation", "again")
PARTS = {"mutation": tuple(mutation.TESTS)}
NAMES = ", ".join(SECTIONS) + ", or a part, such as mutation/topk"


def expanded(sections: Iterable[str]) -> list[str]:
    """Return sections with those that have parts by part."""
    return [
        f"{name}/{part}" if part else name for name in sections for part in PARTS.get(name, ("",))
    ]


def parser() -> argparse.ArgumentParser:
    """Return what the command accepts."""
    words = argparse.ArgumentParser(prog="python -m trust", description=__doc__.split("\n")[0])
    words.add_argument("sections", nargs="*", metavar="section", help=NAMES)
    words.add_argument("--seed", type=int, default=0, help="of the moments and inputs")
    words.add_argument("--kills", type=int, default=61, help="processes that are killed")
    words.add_argument("--inputs", type=int, default=20_000, help="inputs for each reader")
    words.add_argument(
        "--mutants", type=int, metavar="N", help="mutants of each module, drawn at random; all"
    )
    words.add_argument("--out", type=Path, default=WORK / "results.json", help="where to keep them")
    return words


def main(arguments: list[str] | None = None) -> int:
    """Run the sections asked for; return 1 if anything came out wrong, 2 for a wrong request."""
    words = parser()
    options = words.parse_args(arguments)
    if unknown := set(options.sections) - {*SECTIONS, *expanded(SECTIONS)}:
        words.error(f"no section {', '.join(sorted(unknown))}: there are {NAMES}")
    right = True
    for section in expanded(options.sections or SECTIONS):
        name, _, options.part = section.partition("/")
        started, found = time.perf_counter(), list[Figure]()
        try:
            for figure in import_module(f"trust.{name}").figures(options):
                found.append(figure)
                print(f"{figure.right:,} of {figure.tried:,}  {figure.what}", file=sys.stderr)
                keep(options.out, section, found, time.perf_counter() - started)
        except InputError as fault:
            print(fault, file=sys.stderr)
            return 2
        print(f"\n{section}\n{rendered(found)}")
        right &= name == "mutation" or all(figure.right == figure.tried for figure in found)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
