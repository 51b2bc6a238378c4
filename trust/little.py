"""A little dataset in the form of Amazon Reviews 2023, as the files of its public address."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from companion.data import synthetic
from companion.data.registry import DATASETS

NAME = "games"
WORDS = ("quest", "racing", "puzzle", "island", "dragon", "castle", "space", "ocean", "night",
         "tower")  # fmt: skip


def write(folder: Path) -> Path:
    """Write the files of ``games`` where a mirror has them, and return the folder.

    There are 150 users and 80 items; titles hold markup, which a page must show as text.
    """
    ratings, items = (folder / source.path for source in DATASETS[NAME].files)
    dataset = synthetic.world(n_users=150, n_items=80, seed=11).dataset
    pairs = (dataset.train + dataset.valid + dataset.test).tocoo()
    rows = [
        f"U{user:04d},B{item:04d},5.0,{1_600_000_000_000 + 7919 * number}"
        for number, (user, item) in enumerate(zip(pairs.row, pairs.col, strict=True))
    ]
    _pack(ratings, ["user_id,parent_asin,rating,timestamp", *rows])
    _pack(items, [json.dumps(_item(number)) for number in range(dataset.n_items)])
    return folder


def _item(number: int) -> dict[str, object]:
    first, second = WORDS[number % 10], WORDS[number // 8 % 10]
    title = f"The {first} of the {second} {number} <script>alert({number})</script>"
    features = [f"A {second} game", f"{number % 7} players & <b>more</b>"]
    about = {"features": features, "description": [f"Find the {first}."], "categories": ["Games"]}
    return {"parent_asin": f"B{number:04d}", "title": title, **about}


def _pack(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(content.encode(), mtime=0))
