"""Figures by level: nulls in grey, undefined values left out, the axis readable."""

import numpy as np
import pandas as pd

from companion import figures


def test_a_figure_of_levels_draws_nulls_in_grey_and_undefined_values_not_at_all() -> None:
    nan = np.nan
    rows = [("view", "cold", 0.1, 0.0, 0.2), ("view", "hot", nan, nan, nan),
            ("chance", "cold", 0.0, 0.0, 0.1), ("chance", "hot", 0.1, 0.0, 0.1)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
    figure = figures.levels(
        table, title="T", xlabel="X", ylabel="Y (unit)", nulls=["chance"], reference=0
    )
    (axis,) = figure.axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["cold", "hot"]
    lines = {str(line.get_label()): line for line in axis.get_lines()}
    assert lines["chance"].get_color() == figures.NULL != lines["view"].get_color()
    assert axis.get_title(loc="left") == "T" and axis.get_ylabel() == "Y (unit)"


def test_nulls_far_out_leave_the_rest_of_a_figure_of_levels_readable() -> None:
    def scale(null: float) -> tuple[str, str]:
        rows = [("view", "cold", 0.03, 0.02, 0.04), ("chance", "cold", null, null, null)]
        table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
        figure = figures.levels(table, title="T", xlabel="X", ylabel="gain", nulls=["chance"])
        (axis,) = figure.axes
        low, high = axis.get_ylim()
        assert low < 0.02 and max(0.04, null) < high
        return axis.get_yscale(), axis.get_ylabel()

    assert scale(0.4) == ("linear", "gain")  # ten times as far, no more
    assert scale(0.41) == scale(15.0) == ("symlog", "gain\nlogarithmic beyond 0.1")
