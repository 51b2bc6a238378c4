"""The command ``cache`` tells and clears what ``lib.cache`` holds."""

from pathlib import Path

import pytest

from companion.__main__ import main
from lib import cache


def test_the_command_tells_what_is_cached_and_clears_it(
    cache_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.cached("view", {"dataset": "films"}, lambda: {"x": 1})
    assert main(["cache"]) == 0
    assert capsys.readouterr().out.strip() == cache.report()
    assert main(["cache", "--clear"]) == 0
    assert "1 entries deleted" in capsys.readouterr().out
    main(["cache"])
    assert "nothing is cached yet" in capsys.readouterr().out
