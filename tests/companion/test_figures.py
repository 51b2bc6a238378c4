"""Figures: one look, readable text, and every kind draws what its table says."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from companion import figures

NAN = np.nan
LABELS = {"title": "T", "xlabel": "X (unit)"}
ROWS = pd.DataFrame(
    {"what": ["a", "b"], "k": [5, 10], "mean": [0.1, NAN], "low": [0.0, NAN], "high": [0.2, NAN]}
)


def two_curves(**labels: Any) -> Figure:
    rows = [("line", "a", 0, 0, NAN, NAN), ("line", "a", 1, 1, NAN, NAN),
            ("dots", "a", 0.5, 0.5, 0.4, 0.7), ("dots", "b", 0.5, 0.5, 0.4, 0.7)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["what", "panel", "x", "mean", "low", "high"])
    looks = {"line": ("grey", "-"), "dots": ("black", "o")}
    return figures.curves(table, along="x", looks=looks, columns=2, **labels)


def bounded(**labels: Any) -> Figure:
    rows = [(w, p, g, 0.4, 0.3, 0.5, 0.0, 1.0) for w in "ab" for p in "PQ" for g in "gh"]
    names = ["what", "panel", "group", "mean", "low", "high", "floor", "ceiling"]
    return figures.intervals(pd.DataFrame(rows, columns=names), columns=2, **labels)


KINDS: dict[str, Callable[[], Figure]] = {
    "intervals": lambda: figures.intervals(ROWS, claim=["a"], marks={"mark": 0.1}, **LABELS),
    "bounded": lambda: bounded(**LABELS),
    "curves": lambda: figures.curves(ROWS, ylabel="Y", **LABELS),
    "panels of curves": lambda: two_curves(**LABELS),
    "levels": lambda: figures.levels(ROWS.assign(level=["x", "y"]), ylabel="Y", **LABELS),
    "shares": lambda: figures.shares(pd.DataFrame({"both": [70.0], "one": [30.0]}), **LABELS),
    "histogram": lambda: figures.histogram(np.array([0, 1, 5, 90]), ylabel="Y", **LABELS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_has_title_and_labels_and_text_that_can_be_read(kind: str) -> None:
    figure = KINDS[kind]()
    figure.savefig(io.BytesIO())
    assert figure.get_suptitle() == "T" and figure.get_figwidth() == figures.WIDTH
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert "X (unit)" in [axis.get_xlabel() for axis in shown]
    words = [text for text in figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in words) >= 9
    assert figure.legends or kind == "histogram"


def segments(axis: Axes) -> int:
    """Return how many intervals and bars of bounds are drawn."""
    return sum(len(c.get_segments()) for c in axis.collections if hasattr(c, "get_segments"))


def test_the_claim_is_in_colour_nulls_in_grey_and_a_value_beside_its_dot() -> None:
    figure = KINDS["intervals"]()
    (axis,) = figure.axes
    dots = axis.collections[-1]
    colours = [figures.CLAIM, figures.NULL]
    assert [tuple(c) for c in dots.get_facecolor()] == [_rgba(colour) for colour in colours]
    assert [text.get_text() for text in axis.texts] == ["0.100"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mark"]


def _rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0)


def test_bounds_are_a_bar_and_groups_a_dot_each() -> None:
    figure = bounded(**LABELS)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["P", "Q"]
    assert [segments(axis) for axis in figure.axes] == [2 * 4, 2 * 4]
    labels = [label.get_text() for label in figure.legends[0].get_texts()]
    assert labels == ["random pairs to second seed", "g", "h"]


def test_families_stand_in_panels_with_their_nulls_in_grey() -> None:
    table = pd.DataFrame(
        {"what": ["a", "b", "c"], "panel": ["x", "x", "null"], "mean": [0.4, 0.01, 0.38],
         "low": [0.39, 0.0, 0.37], "high": [0.41, 0.02, 0.39]}
    )  # fmt: skip
    figure = figures.intervals(
        table.assign(group=table["panel"]), nulls=["null"], marks={"bound": 0.45}, **LABELS
    )  # fmt: skip
    drawn = {axis.get_title(loc="left"): axis for axis in figure.axes}
    names = {kind: [t.get_text() for t in axis.get_yticklabels()] for kind, axis in drawn.items()}
    assert names == {"x": ["a", "b"], "null": ["c"]}
    assert {t.get_text() for t in drawn["x"].texts} == {"0.400", "0.010"}
    assert tuple(drawn["null"].collections[-1].get_facecolor()[0]) == _rgba(figures.NULL)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["bound"]


def test_rows_share_a_place_and_groups_keep_their_marker() -> None:
    rows = [("a", "P", "h", 1), ("a", "P", "null", 2), ("b", "Q", "null", 3)]
    table = pd.DataFrame(rows, columns=["what", "panel", "group", "mean"])
    table = table.assign(low=table["mean"], high=table["mean"])
    figure = figures.intervals(table, title="T", nulls=["null"])
    one, other = figure.axes
    assert [axis.get_xlabel() for axis in figure.axes] == ["P", "Q"]
    (_, h), (_, null), (_, alone) = (
        dots.get_offsets()[0] for axis in (one, other) for dots in axis.collections[1::2]
    )
    assert -0.5 < h < 0 < null < 0.5 and alone == 0
    paths = [len(axis.collections[-1].get_paths()[0].vertices) for axis in (one, other)]
    assert paths[0] == paths[1]  # a square in both


def test_a_notebook_gets_a_figure_as_vector_graphics_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        figures, "display", lambda bundle, raw: shown.append(bundle["image/svg+xml"])
    )
    for _ in range(2):
        figures.intervals(ROWS, **LABELS)._ipython_display_()
    assert ">X (unit)</text>" in shown[0] and shown[0] == shown[1]


def test_curves_have_every_name_in_the_legend_and_a_label_by_panel() -> None:
    figure = two_curves(**LABELS)
    assert [axis.get_ylabel() for axis in figure.axes] == ["a", "b"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["line", "dots"]
    figure = two_curves(ylabel={"a": "unit of a", "b": "unit of b"}, **LABELS)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["unit of a", "unit of b"]


def test_curves_go_along_words_in_their_order() -> None:
    steps = pd.DataFrame({"what": "a", "step": ["linear", "MLP-1"], "mean": [0.1, 0.2],
                          "low": 0.0, "high": 0.3})  # fmt: skip
    figure = figures.curves(steps, ylabel="Y", along="step", marks={"floor": 0.0}, **LABELS)
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["linear", "MLP-1"]
    assert len(axis.lines) == 1 + 1


def test_levels_draw_nulls_in_grey_and_undefined_values_not_at_all() -> None:
    rows = [("view", "cold", 0.1, 0.0, 0.2), ("view", "hot", NAN, NAN, NAN),
            ("chance", "cold", 0.0, 0.0, 0.1), ("chance", "hot", 0.1, 0.0, 0.1)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
    figure = figures.levels(table, ylabel="Y", nulls=["chance"], marks={"no gain": 0}, **LABELS)
    (axis,) = figure.axes
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["cold", "hot"]
    lines = {str(line.get_label()): line for line in axis.get_lines()}
    assert lines["chance"].get_color() == figures.NULL != lines["view"].get_color()


def test_nulls_far_out_leave_the_rest_of_a_figure_of_levels_readable() -> None:
    def scale(null: float) -> tuple[str, str]:
        rows = [("view", "cold", 0.03, 0.02, 0.04), ("chance", "cold", null, null, null)]
        table = pd.DataFrame(rows, columns=["what", "level", "mean", "low", "high"])
        figure = figures.levels(table, ylabel="gain", nulls=["chance"], **LABELS)
        (axis,) = figure.axes
        low, high = axis.get_ylim()
        assert low < 0.02 and max(0.04, null) < high
        return axis.get_yscale(), axis.get_ylabel()

    assert scale(0.4) == ("linear", "gain")  # ten times as far, no more
    assert scale(0.41) == scale(15.0) == ("symlog", "gain\nlogarithmic beyond 0.1")


@pytest.mark.parametrize("largest", [7, 90, 3000])
def test_a_name_with_dollars_is_drawn_as_it_is_written(largest: int) -> None:
    counts = np.array([1, 2, largest])
    figure = figures.histogram(counts, title="my$data_^$", xlabel="X (unit)", ylabel="Y (unit)")
    figure.savefig(io.BytesIO())
    axis = figure.axes[0]
    ticks = [t.get_text() for t in (*axis.get_xticklabels(), *axis.get_xticklabels(minor=True))]
    assert figure.get_suptitle() == "my$data_^$"
    assert {"1", "10"} & {*ticks} and not [word for word in ticks if "$" in word]
