"""The example dataset is complete."""

from pathlib import Path

import make_template
import pandas as pd

from companion import data, testable
from companion.data import folder


def test_the_example_passes_the_check_and_loses_nothing(cache_folder: Path) -> None:
    assert folder.validate(make_template.FOLDER) == []
    loaded = data.load(make_template.FOLDER, split="temporal")
    assert (loaded.n_users, loaded.n_items) == (120, 100)
    rows = make_template.tables()["interactions.csv"]
    assert loaded.train.nnz + loaded.valid.nnz + loaded.test.nnz == len(rows)
    assert loaded.card["text_coverage"] == 1
    assert loaded.items["text"].is_unique
    assert [*testable.reasons(loaded, testable.USUAL_K).values()] == [["F11b"]]


def test_the_committed_files_are_those_of_the_script() -> None:
    for name, table in make_template.tables().items():
        pd.testing.assert_frame_equal(pd.read_csv(make_template.FOLDER / name), table)
