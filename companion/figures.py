"""The book's figures: one look, and a function for each kind of figure.

Tables are tidy: ``what`` names a value, ``mean``, ``low`` and ``high`` are the value and its 95 %
interval, and everything is drawn in the order given (of a categorical column, in its own). A figure
is as wide as a page's column, so that its smallest text, 9 points, is read at that size.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, SymmetricalLogLocator

# Okabe and Ito's colours: told apart with every common colour vision
CLAIM, NULL, INK = "#0072B2", "#8A8A8A", "#333333"
PARTS = ("#56B4E9", "#E69F00", "#009E73")
SERIES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8A8A8A")
MARKERS = "osD^vPX*"
WIDTH, SMALL = 7.2, 9  # inches, points
BOX = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}
NUMBERS: dict[str, Any] = {"fontsize": SMALL, "color": INK, "bbox": BOX}
STYLE = {
    "figure.dpi": 110,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # in names of datasets and items, $ is money
}


class Drawing(Figure):
    """A figure that a notebook shows as vector graphics: sharp at any size, and smaller."""

    def svg(self) -> str:
        """Return the drawing, the same on every run; its text stays text."""
        drawn = io.StringIO()
        with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "same on every run"}):
            self.savefig(drawn, format="svg", bbox_inches="tight", metadata={"Date": None})
        return drawn.getvalue()

    def quoted(self, alt: str) -> HTML:
        """Return the drawing as an image with a description, for a page that quotes it."""
        code = base64.b64encode(self.svg().encode()).decode()
        return HTML(f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{code}">')

    def _ipython_display_(self) -> None:
        bundle = {"image/svg+xml": self.svg(), "text/plain": self.get_suptitle()}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]


def _panels(
    title: str, height: float, names: Sequence[str], columns: int, xlabel: str, **options: Any
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure in the book's look, ``height`` inches high, and its axes by name."""
    sns.set_theme("paper", "whitegrid", SERIES, font_scale=1.05, rc=STYLE)  # 9.2 points and more
    rows = max(1, -(-len(names) // columns))
    options |= {"squeeze": False, "figsize": (WIDTH, height), "layout": "constrained"}
    figure, axes = plt.subplots(rows, columns, FigureClass=Drawing, **options)
    plt.close(figure)  # or a notebook shows it twice
    figure.suptitle(textwrap.fill(title, 70), x=0.01, ha="left", fontweight="bold")
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    named = dict(zip(names, axes.flat, strict=False))
    for axis in list(named.values())[-columns:]:
        axis.set_xlabel(textwrap.fill(xlabel, 84 // columns))
    return figure, named


def _legend(figure: Figure) -> Figure:
    """Explain every label once, below the axes."""
    pairs = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in figure.axes]
    found = {label: handle for of_axis in pairs for handle, label in of_axis}
    if found:
        columns = max(1, min(3, 100 // (8 + max(map(len, found)))))
        figure.legend(found.values(), found, loc="outside lower center", ncols=columns)
    return figure


def _mark(
    axis: Axes, marks: Mapping[str, float] | None, *, vertical: bool = False,
    styles: Sequence[str] = ("--", ":"),
) -> None:  # fmt: skip
    """Draw a dashed line, and a dotted one, at one or two values, by label."""
    line = axis.axvline if vertical else axis.axhline
    for (label, value), dashes in zip((marks or {}).items(), styles, strict=False):
        line(value, color=INK, linewidth=1.2, linestyle=dashes, label=label)


def _order(column: pd.Series) -> list[Any]:
    return list(column.cat.categories if hasattr(column, "cat") else column.unique())


def _name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Name the heights 0, 1, …, the first at the top."""
    axis.set_yticks(range(len(names)), [textwrap.fill(str(name), 44) for name in names])
    axis.set_ylim(len(names) - 0.4, -0.6)


def intervals(
    table: pd.DataFrame, *, title: str, xlabel: str = "", claim: Sequence[str] = (),
    nulls: Sequence[str] = (), marks: Mapping[str, float] | None = None, columns: int = 1,
) -> Figure:  # fmt: skip
    """Draw a row for each ``what``: its mean as a dot, its interval as a line.

    Columns are what, mean, low and high, and maybe ``panel`` (``columns`` side by side), ``group``
    (each with a dot and colour of its own), ``floor`` and ``ceiling`` (with a grey bar between).
    Without ``xlabel`` each panel has an axis of its own, and its name for the label.
    ``claim`` are the values of ``what`` in colour where there are no groups, ``nulls`` the groups
    in grey, ``marks`` values to mark by lines, by label.
    """
    table = _styled(table, claim, nulls)
    markers = dict(zip(table["group"].unique(), cycle(MARKERS), strict=False))
    panels = list(table["panel"].unique())
    own = {panel: _order(table.loc[table["panel"] == panel, "what"]) for panel in panels}
    rows_of = own if columns == 1 else dict.fromkeys(panels, _order(table["what"]))
    titles = [textwrap.fill(panel, 78 // columns) for panel in panels]
    lines = 0.16 * max((words.count("\n") for words in titles), default=0)
    most = table.groupby("panel", sort=False)["beside"].max().iloc[::columns]
    heights = [
        0.7 + lines + max(0.3, 0.11 * dots) * len(names)
        for dots, names in zip(most, list(rows_of.values())[::columns], strict=True)
    ]
    figure, axes = _panels(
        title, 1 + sum(heights), panels, columns, xlabel, sharex=columns == 1 and bool(xlabel),
        sharey=columns > 1, gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for (panel, axis), words in zip(axes.items(), titles, strict=True):
        kinds = table[table["panel"] == panel].groupby("group", sort=False)
        for group, rows in kinds:
            at = np.array([rows_of[panel].index(what) for what in rows["what"]]) + rows["shift"]
            if "floor" in rows:
                axis.hlines(at, rows["floor"], rows["ceiling"], color=NULL, alpha=0.35,
                            linewidth=7, label="random pairs to second seed")  # fmt: skip
            axis.hlines(at, rows["low"], rows["high"], color=rows["colour"], linewidth=2.5)
            axis.scatter(rows["mean"], at, 34, rows["colour"], marker=markers[group], zorder=3,
                         label=rows["label"].iloc[0])  # fmt: skip
            for height, value, high in zip(at, rows["mean"], rows["high"], strict=True):
                if len(kinds) == 1 and np.isfinite(value):
                    number = f"{round(value, 3) + 0.0:.3f}".replace("-", "−")  # no −0.000
                    axis.annotate(number, (high, height), xytext=(7, 0), va="center",
                                  textcoords="offset points", **NUMBERS)  # fmt: skip
        _name_rows(axis, rows_of[panel])
        (axis.set_title if xlabel else axis.set_xlabel)(words)
        axis.margins(x=0.12)
        axis.locator_params(axis="x", nbins=9 // columns)
        _mark(axis, marks, vertical=True)
    return _legend(figure)


def _styled(table: pd.DataFrame, claim: Sequence[str], nulls: Sequence[str]) -> pd.DataFrame:
    """Return the table of ``intervals`` with its panels, groups, colours and labels."""
    table = table.assign(**{name: "" for name in ("panel", "group") if name not in table})
    groups, series = list(table["group"].unique()), cycle(SERIES)
    palette = {group: NULL if group in nulls else next(series) for group in groups}
    by_claim = table["what"].isin(list(claim)).map({True: CLAIM, False: NULL})
    colour = by_claim if groups == [""] else table["group"].map(palette)
    rows = table.groupby(["panel", "what"], observed=True)
    beside = rows["group"].transform("size")
    return table.assign(
        colour=colour, label=table["group"].where(table["group"] != table["panel"], ""),
        beside=beside, shift=0.7 * ((rows.cumcount() + 0.5) / beside - 0.5),
    )  # fmt: skip


def curves(
    table: pd.DataFrame, *, title: str, ylabel: str | Mapping[str, str] = "",
    xlabel: str = "K (length of the list, items)", along: str = "k",
    looks: Mapping[str, tuple[str, str]] | None = None, nulls: Sequence[str] = (),
    marks: Mapping[str, float] | None = None, upright: Mapping[str, float] | None = None,
    columns: int = 1, bars: bool = False,
) -> Figure:  # fmt: skip
    """Draw means and intervals along an axis of numbers or ordered words, a line per ``what``.

    Columns are what, ``along``, mean, low and high, and maybe ``panel``, ``x_low`` and ``x_high``.
    ``ylabel`` is that of all panels, or by panel beside its title; without it the panel's name
    serves. ``looks`` are the colour and matplotlib's format of each ``what``; otherwise colours in
    turn, grey for ``nulls``. ``marks`` are values to mark by lines, by label, ``upright`` those of
    ``along``. With ``bars`` intervals are bars, as those of unconnected points always are, and not
    bands.
    """
    colours, forms = cycle(SERIES), cycle(mark + (":" if bars else "-") for mark in MARKERS)
    looks = looks or {
        what: (NULL if what in nulls else next(colours), next(forms))
        for what in table["what"].unique()
    }
    table = table if "panel" in table else table.assign(panel="")
    panels = list(table["panel"].unique())
    height = 1.6 + (2.9 - 0.3 * columns) * -(-len(panels) // columns)
    figure, axes = _panels(title, height, panels, columns, xlabel)
    for panel, axis in axes.items():
        for what, rows in table[table["panel"] == panel].groupby("what", sort=False):
            colour, form = looks[str(what)]
            inside = "white" if "--" in form else colour
            axis.plot(rows[along], rows["mean"], form, color=colour, mfc=inside, label=what)
            if bars or not set(form) & set("-:"):
                axis.vlines(rows[along], rows["low"], rows["high"], color=colour, linewidth=2)
            else:
                axis.fill_between(rows[along], rows["low"], rows["high"], color=colour, alpha=0.2)
            if "x_low" in rows:
                axis.hlines(rows["mean"], rows["x_low"], rows["x_high"], color=colour, linewidth=2)
        if table[along].dtype.kind == "i":
            axis.set_xticks(table[along].unique())
        _mark(axis, marks)
        _mark(axis, upright, vertical=True, styles=":")
        if isinstance(ylabel, str):
            axis.set_ylabel(ylabel or panel)
        else:
            axis.set_title(textwrap.fill(panel, 22))
            axis.set_ylabel(textwrap.fill(ylabel[panel], 24), fontsize=SMALL)
    return _legend(figure)


def levels(
    table: pd.DataFrame, *, title: str, xlabel: str, ylabel: str, nulls: Sequence[str] = (),
    marks: Mapping[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Draw ``curves`` along named ``level``s, side by side so that intervals hide no other.

    Nulls ten times as far out as all else would press that into one line; the scale is then
    logarithmic beyond the power of ten that holds all else, and its label says so.
    """
    names, kinds = _order(table["level"]), _order(table["what"])
    at = [
        names.index(level) + 0.1 * (kinds.index(what) - (len(kinds) - 1) / 2)
        for level, what in zip(table["level"], table["what"], strict=True)
    ]
    figure = curves(
        table.assign(at=at), title=title, xlabel=xlabel, ylabel=ylabel, along="at", nulls=nulls,
        marks=marks, bars=True,
    )  # fmt: skip
    (axis,) = figure.axes
    axis.set_xticks(range(len(names)), names)
    axis.grid(axis="x", visible=False)
    far = table[["low", "high"]].abs().max(axis=1).groupby(table["what"].isin(nulls)).max()
    if far.get(True, 0) > 10 * far.get(False, np.nan) > 0:
        linear = 10.0 ** np.ceil(np.log10(far[False]))
        axis.set_yscale("symlog", linthresh=linear, linscale=2)
        axis.margins(y=0.1)  # of the scale's own length, or the last marker is cut
        axis.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=linear))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_ylabel(f"{ylabel}\nlogarithmic beyond {linear:g}")
    return figure


def shares(table: pd.DataFrame, *, title: str, xlabel: str) -> Figure:
    """Draw stacked horizontal bars that each add to 100 %: one per row, one part per column."""
    figure, axes = _panels(title, 1.5 + 0.4 * len(table), [""], 1, xlabel)
    axis, left, at = axes[""], np.zeros(len(table)), np.arange(len(table))
    for (part, values), colour, hatch in zip(
        table.items(), PARTS, ("", "//", "\\\\"), strict=False
    ):
        bars = axis.barh(at, values, left=left, label=part, color=colour, hatch=hatch, ec="white")
        words = [f"{value:.0f} %" if value > 6 else "" for value in values]
        axis.bar_label(bars, words, label_type="center", **NUMBERS)
        left = left + values.to_numpy()
    _name_rows(axis, list(table.index))
    axis.set_xlim(0, 100)
    axis.grid(axis="y", visible=False)
    return _legend(figure)


def histogram(values: np.ndarray, *, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw how a positive count is spread, on a logarithmic axis."""
    figure, axes = _panels(title, 3.3, [""], 1, xlabel)
    positive = values[values > 0]
    doubling = 2.0 ** np.arange(np.floor(np.log2(positive.max())) + 2)  # whole counts, even bars
    axes[""].hist(positive, bins=doubling.tolist(), color=CLAIM, edgecolor="white")
    axes[""].set(xscale="log", ylabel=ylabel)
    axes[""].xaxis.set(major_formatter=LogFormatter(), minor_formatter=LogFormatter())
    return figure
