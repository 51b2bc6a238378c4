"""A folder to begin one's own data with: two small tables of the right form, to be replaced."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lib.core import InputError

USERS, ITEMS, EACH = 40, 20, 10
START, DAY = 1_600_000_000, 86_400  # seconds


def write(directory: Path) -> list[Path]:
    """Write ``interactions.csv`` and ``items.csv`` into a new or empty folder; return their paths.

    The example passes the check and makes a book: every user has ten of twenty items.

    Raises
    ------
    InputError
        Something is there already: nothing is overwritten.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(
            f"{directory} is there and not an empty folder, and nothing is overwritten; give a new "
            "folder, such as my-data"
        )
    pairs = [(u, (u * 3 + j * (1 + u % 2)) % ITEMS, j) for u in range(USERS) for j in range(EACH)]
    interactions = pd.DataFrame(
        {
            "user_id": [f"user-{u}" for u, _, _ in pairs],
            "item_id": [f"item-{i}" for _, i, _ in pairs],
            "timestamp": [START + DAY * j + u for u, _, j in pairs],
        }
    )
    words = ("quiet", "bright", "old", "new", "strange")
    kinds = ("drama", "comedy", "travel", "cooking")
    items = pd.DataFrame(
        {
            "item_id": [f"item-{i}" for i in range(ITEMS)],
            "title": [f"A {words[i % 5]} title, number {i}" for i in range(ITEMS)],
            "genres": [kinds[i % 4] for i in range(ITEMS)],
            "description": ["Any text columns are joined and encoded." for _ in range(ITEMS)],
        }
    )
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "interactions.csv", directory / "items.csv"]
    for path, table in zip(paths, (interactions, items), strict=True):
        table.to_csv(path, index=False)
    return paths
