"""A run on a made-up world, as the tests of the chapters ask for it."""

from typing import Any

from lib.dataset import Dataset
from studies.context import Run

GIVEN: dict[str, Any] = {
    "dataset": "synthetic", "split": "random", "seed": 0, "seeds": 2, "k": 5,
    "encoder": "minilm", "fields": "all", "device": "cpu",
}  # fmt: skip


def run_of(dataset: Dataset, /, epochs: int, **changes: Any) -> Run:
    return Run(dataset, GIVEN | changes, epochs=epochs)
