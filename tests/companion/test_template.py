"""The folder to begin with is whole, and nothing of the reader's is overwritten."""

from pathlib import Path

import pytest

from companion import data, template
from companion.__main__ import main
from companion.data import folder
from lib.core import InputError


def test_the_example_passes_the_check_and_loses_nothing(tmp_path: Path, cache_folder: Path) -> None:
    template.write(tmp_path / "mine")
    assert [said for said in folder.validate(tmp_path / "mine") if "note" not in said[:4]] == []
    loaded = data.load(tmp_path / "mine", split="temporal")
    assert (loaded.n_users, loaded.n_items) == (template.USERS, template.ITEMS)
    parts = loaded.train.nnz + loaded.valid.nnz + loaded.test.nnz
    assert parts == template.USERS * template.EACH


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        template.write(tmp_path)
    with pytest.raises(InputError, match="empty folder"):
        template.write(tmp_path / "items.csv")
    assert (tmp_path / "items.csv").read_text() == "mine"


def test_the_command_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["template", str(tmp_path / "mine")]) == 0
    assert "python -m companion validate" in capsys.readouterr().out
