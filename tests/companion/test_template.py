"""The example dataset is complete, and no file of the reader's is overwritten."""

from pathlib import Path

import make_template
import pandas as pd
import pytest

from companion import data, testable
from companion.__main__ import main
from companion.data import folder
from lib.core import InputError


def test_the_example_passes_the_check_and_loses_nothing(tmp_path: Path, cache_folder: Path) -> None:
    paths = folder.write_template(tmp_path / "mine")
    assert paths == [tmp_path / "mine" / "interactions.csv", tmp_path / "mine" / "items.csv"]
    assert folder.validate(tmp_path / "mine") == []
    loaded = data.load(tmp_path / "mine", split="temporal")
    assert (loaded.n_users, loaded.n_items) == (120, 100)
    rows = make_template.tables()["interactions.csv"]
    assert loaded.train.nnz + loaded.valid.nnz + loaded.test.nnz == len(rows)
    assert loaded.card["text_coverage"] == 1
    assert loaded.items["text"].is_unique
    assert [*testable.reasons(loaded, testable.USUAL_K).values()] == [["F11b"]]


def test_the_committed_files_are_those_of_the_script() -> None:
    for name, table in make_template.tables().items():
        pd.testing.assert_frame_equal(pd.read_csv(make_template.FOLDER / name), table)


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        folder.write_template(tmp_path)
    with pytest.raises(InputError, match="empty folder"):
        folder.write_template(tmp_path / "items.csv")
    assert (tmp_path / "items.csv").read_text() == "mine"


def test_the_command_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["template", str(tmp_path / "mine")]) == 0
    assert "python -m companion validate" in capsys.readouterr().out
