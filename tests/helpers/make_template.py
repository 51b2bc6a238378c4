"""Write the example dataset of ``pages/howto/own-data.md``: python tests/helpers/make_template.py.

A hundred and twenty users choose among a hundred films, four of each kind and mood, some of which
are better known. A user likes two kinds and one mood, so that both the interactions and the texts
tell who likes what.
"""

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parents[2] / "companion" / "data" / "template"
USERS, START, DAY = 120, 1_600_000_000, 86_400  # times in seconds
KINDS = {
    "drama": ("family", "a letter that was never sent"),
    "comedy": ("wedding", "two guests who are in the wrong room"),
    "travel": ("island", "a ferry that leaves once a week"),
    "mystery": ("lighthouse", "a keeper whose diary ends too early"),
    "science fiction": ("station", "a crew that wakes a year too soon"),
}
MOODS = ("quiet", "bright", "tender", "restless", "odd")
SEASONS = ("spring", "summer", "autumn", "winter")


def tables() -> dict[str, pd.DataFrame]:
    """Return the two tables by the names of their files."""
    rng = np.random.default_rng(0)
    films = [(kind, mood, season) for kind in KINDS for mood in MOODS for season in SEASONS]
    items = pd.DataFrame(
        {
            "item_id": [f"film-{n:02}" for n in range(len(films))],
            "title": [f"A {mood} {KINDS[kind][0]} in {season}" for kind, mood, season in films],
            "genres": [kind for kind, _, _ in films],
            "description": [
                f"A {mood} {kind} film of one {season}, about {KINDS[kind][1]}."
                for kind, mood, season in films
            ],
        }
    )
    known = rng.lognormal(0, 0.25, len(films))
    rows = []
    for user in range(USERS):
        liked = rng.choice(list(KINDS), 2, replace=False)
        mood = rng.choice(MOODS)
        liking = [8.0 * (kind in liked) + 4.0 * (m == mood) + 1 for kind, m, _ in films]
        weights = known * liking
        count = int(rng.integers(10, 19))
        chosen = rng.choice(len(films), count, replace=False, p=weights / weights.sum())
        days = np.sort(rng.choice(365, count, replace=False))
        rows += [
            (f"user-{user:03}", f"film-{film:02}", START + DAY * int(day) + user)
            for film, day in zip(chosen, days, strict=True)
        ]
    interactions = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    return {"interactions.csv": interactions, "items.csv": items}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, table in tables().items():
        table.to_csv(FOLDER / name, index=False)
