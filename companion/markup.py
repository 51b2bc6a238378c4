"""The HTML that chapters and the scoreboard show: macros of ``markup.html``, which escape text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from companion.rules import in_words, said, why


@cache
def _macros() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined,
    )  # fmt: skip
    environment.globals |= {"in_words": in_words, "said": said, "why": why}
    environment.policies["json.dumps_kwargs"] = {}  # no sorting: claims have an order
    return environment.get_template("markup.html").module


def markup(macro: str, *values: Any) -> str:
    """Return what a macro makes of some values; text in them is escaped."""
    return str(getattr(_macros(), macro)(*values)).strip()
