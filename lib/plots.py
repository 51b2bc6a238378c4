"""The book's figures: tidy tables in, figures out, one look for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# Okabe and Ito's colours: told apart with every common colour vision
CLAIM, NULL, INK = "#0072B2", "#8A8A8A", "#333333"
PARTS = ("#56B4E9", "#E69F00", "#009E73")
SERIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8A8A8A"]
LUMINANCE = (0.2126, 0.7152, 0.0722)  # how bright red, green and blue look (Rec. 709)


def style() -> None:
    """Set the look of all figures: seaborn's white grid, readable on phone and paper."""
    sns.set_theme(
        style="whitegrid",
        palette=SERIES,
        rc={
            "figure.dpi": 110,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "savefig.bbox": "tight",
            "svg.hashsalt": "companion",
        },
    )


def intervals(
    table: pd.DataFrame,
    *,
    title: str,
    xlabel: str,
    claim: Sequence[str] = (),
    groups: str | None = None,
    reference: float | None = None,
    reference_label: str = "",
) -> Figure:
    """Draw one row per ``what``: mean as a dot, 95 % interval as a line.

    Parameters
    ----------
    table
        Columns what, mean, low, high; rows are drawn from the top in the order given.
    claim
        The values of ``what`` that the finding is about, in colour; all others are nulls, in grey.
    groups
        A column whose values give the colours instead, explained by a legend.
    reference
        A value to mark by a dashed line, such as a threshold of the rule.
    """
    style()
    figure, axis = plt.subplots(figsize=(7.2, 0.9 + 0.42 * len(table)))
    places = np.arange(len(table))[::-1]
    if groups is None:
        colours = [CLAIM if what in claim else NULL for what in table["what"]]
    else:
        kinds = {kind: SERIES[place] for place, kind in enumerate(sorted(table[groups].unique()))}
        colours = [kinds[kind] for kind in table[groups]]
        for kind, colour in kinds.items():
            axis.scatter([], [], color=colour, s=55, label=kind)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axis.hlines(places, table["low"], table["high"], color=colours, linewidth=3)
    axis.scatter(table["mean"], places, color=colours, s=55, zorder=3)
    for place, mean, high in zip(places, table["mean"], table["high"], strict=True):
        if np.isfinite(mean):
            axis.annotate(
                f"{mean:.3f}", (high, place), xytext=(7, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK,
            )  # fmt: skip
    if reference is not None:
        axis.axvline(reference, color=INK, linestyle="--", linewidth=1)
        axis.annotate(
            reference_label, (reference, 1.0), xycoords=("data", "axes fraction"),
            xytext=(4, -2), textcoords="offset points", fontsize=8, va="top", color=INK,
        )  # fmt: skip
    axis.set_yticks(places, table["what"])
    axis.set(title=title, xlabel=xlabel, ylabel="")
    axis.margins(x=0.12)
    axis.set_ylim(-0.7, len(table) - 0.3)
    return _closed(figure)


def curves(
    table: pd.DataFrame, *, title: str, ylabel: str, xlabel: str = "K (length of the list, items)"
) -> Figure:
    """Draw ``mean`` with its interval against ``k``, one line per ``what``."""
    style()
    figure, axis = plt.subplots(figsize=(7.2, 4.0))
    for number, (what, rows) in enumerate(table.groupby("what", sort=False)):
        colour = SERIES[number % len(SERIES)]
        marker = "osD^vPX*"[number % 8]
        axis.plot(rows["k"], rows["mean"], marker=marker, color=colour, label=what)
        axis.fill_between(rows["k"], rows["low"], rows["high"], color=colour, alpha=0.2)
    axis.set_xticks(sorted(table["k"].unique()))
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return _closed(figure)


def shares(table: pd.DataFrame, *, title: str, xlabel: str) -> Figure:
    """Draw stacked horizontal bars that each add to 100 %: one per row, one part per column."""
    style()
    figure, axis = plt.subplots(figsize=(7.2, 1.3 + 0.42 * len(table)))
    left = np.zeros(len(table))
    places = np.arange(len(table))[::-1]
    for (part, values), colour, hatch in zip(table.items(), PARTS, ("", "//", ".."), strict=False):
        axis.barh(
            places, values, left=left, label=str(part), color=colour, hatch=hatch,
            edgecolor="white",
        )  # fmt: skip
        for place, start, value in zip(places, left, values, strict=True):
            if value > 6:
                axis.annotate(
                    f"{value:.0f} %", (start + value / 2, place), ha="center", va="center",
                    fontsize=9, color=INK, bbox={"boxstyle": "round,pad=0.15", "fc": "white",
                    "ec": "none", "alpha": 0.75},
                )  # fmt: skip
        left = left + values.to_numpy()
    axis.set_yticks(places, table.index)
    axis.set(title=title, xlabel=xlabel, ylabel="", xlim=(0, 100))
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22 - 0.6 / len(table)), ncols=3,
                frameon=False)  # fmt: skip
    axis.grid(axis="y", visible=False)
    return _closed(figure)


def histogram(values: np.ndarray, *, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw how a positive count is spread, on logarithmic axes."""
    style()
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    positive = values[values > 0]
    bins = np.unique(np.geomspace(1, positive.max() + 1, 30).round()).tolist()
    axis.hist(positive, bins=bins, color=CLAIM, edgecolor="white")
    axis.set(xscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
    return _closed(figure)


def heat(
    values: pd.DataFrame,
    texts: pd.DataFrame,
    *,
    title: str,
    xlabel: str,
    label: str,
    limit: float,
    framed: pd.DataFrame,
) -> Figure:
    """Draw a table of diverging colours around 0, grey where there is no value.

    Parameters
    ----------
    values
        What the colours say, rows × columns; beyond ±``limit`` the colour stays the same.
    texts
        What is written into the cells, of the same shape.
    label
        What the bar of colours says.
    framed
        Cells (bool, of the same shape) with a frame around them.
    """
    style()
    height, width = values.shape
    figure, axis = plt.subplots(figsize=(2.6 + 0.72 * width, 1.6 + 0.48 * height))
    colours = plt.get_cmap("PuOr").with_extremes(bad="#E3E3E3")  # for every common colour vision
    shown = np.ma.masked_invalid(values.to_numpy(dtype=float))
    image = axis.imshow(shown, cmap=colours, vmin=-limit, vmax=limit, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(dtype=float)):
        shade = image.cmap(image.norm(value))[:3]
        ink = "white" if np.isfinite(value) and np.dot(shade, LUMINANCE) < 0.45 else INK
        text = texts.iloc[row, column]
        axis.text(column, row, text, ha="center", va="center", fontsize=7.5, color=ink)
        if framed.iloc[row, column]:
            # black around white is seen on dark and on light colours
            for gap, colour in ((0.03, "black"), (0.07, "white")):
                corner, size = (column - 0.5 + gap, row - 0.5 + gap), 1 - 2 * gap
                axis.add_patch(Rectangle(corner, size, size, fill=False, ec=colour, lw=1.8))
    axis.set_xticks(range(width), values.columns)
    axis.set_yticks(range(height), values.index)
    axis.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.tick_params(length=0, labelsize=9)
    axis.tick_params(which="minor", length=0)
    axis.set(xlabel=xlabel, ylabel="")
    axis.set_title(title, pad=12)
    axis.xaxis.set_label_position("top")
    axis.set_xticks(np.arange(width - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(height - 1) + 0.5, minor=True)
    axis.grid(visible=False)
    axis.grid(which="minor", color="white", linewidth=1.5)
    bar = figure.colorbar(image, ax=axis, orientation="horizontal", extend="both", pad=0.09,
                          fraction=0.04)  # fmt: skip
    bar.set_label(label)
    return _closed(figure)


def _closed(figure: Figure) -> Figure:
    """Take the figure from pyplot's list, so that a notebook shows it once."""
    plt.close(figure)
    return figure
