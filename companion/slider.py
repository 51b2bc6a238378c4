"""Values that the reader moves through: a slider over a table that was computed beforehand.

Without the script of the pages (``sphinx_ext/static/slider.js``) the table shows one step, and no
slider.
"""

import json
import math
import re
from collections.abc import Hashable
from typing import Any

import pandas as pd
from IPython.display import HTML

from companion.markup import markup
from lib.core import InputError

KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50)
"""Lengths of lists to lead through."""


def slider(
    table: pd.DataFrame, along: str, *, title: str, label: str, unit: str, start: Hashable,
    nulls: str = "seed|SVD|popularity|random",
) -> HTML:  # fmt: skip
    """Return a row for each ``what`` of a tidy table, at the step ``start`` of column ``along``.

    A row has the mean and the 95 % interval on an axis that all steps share, and in numbers; the
    slider leads through the steps in their order in the table. ``label`` says what the slider
    moves, ``unit`` what is measured, ``nulls`` is a pattern in the names of rows that are grey.
    """
    steps, rows = table[along].unique().tolist(), table["what"].unique().tolist()
    if start not in steps:
        raise InputError(f"start = {start!r} was given; {along} has {', '.join(map(str, steps))}")
    least, most = min(0.0, table["low"].min()), max(0.0, table["high"].max())
    reach = (most - least) or 1.0

    def place(row: Any) -> list[Any] | None:
        """Return mean, low and width in percent of the axis, and the numbers in words."""
        if math.isnan(row.mean):
            return None
        points = (row.mean - least, row.low - least, row.high - row.low)
        at = [round(100 * x / reach, 2) for x in points]
        return [*at, f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]".replace("-", "−")]

    found = {(row.what, getattr(row, along)): place(row) for row in table.itertuples(index=False)}
    values = [[found.get((what, step)) for what in rows] for step in steps]
    data = json.dumps({"steps": steps, "values": values}, ensure_ascii=False)
    grey = [bool(re.search(nulls, what)) for what in rows]
    shown = {
        "title": title, "label": label, "unit": unit, "start": steps.index(start), "steps": steps,
        "rows": list(zip(rows, values[steps.index(start)], grey, strict=True)),
        "zero": round(100 * abs(least) / reach, 2), "data": data.replace("<", "\\u003c"),
    }  # fmt: skip
    return HTML(markup("slider", shown))
