"""The book's figures: tidy tables in, figures out, one look for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, SymmetricalLogLocator

# Okabe and Ito's colours: told apart with every common colour vision
CLAIM, NULL, INK = "#0072B2", "#8A8A8A", "#333333"
PARTS = ("#56B4E9", "#E69F00", "#009E73")
SERIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#8A8A8A"]


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
            # names and titles are strangers' text, in which $ is money
            "text.parse_math": False,
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
    return closed(figure)


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
    return closed(figure)


def levels(
    table: pd.DataFrame,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    nulls: Sequence[str] = (),
    reference: float | None = None,
) -> Figure:
    """Draw ``mean`` with its interval at each named ``level``, one line per ``what``.

    Parameters
    ----------
    table
        Columns what, level, mean, low, high; levels and rows are drawn in the order given.
    nulls
        The values of ``what`` to draw in grey.
    reference
        A value to mark by a dashed line.

    Nulls ten times as far out as all else would press that into one line; the scale is then
    logarithmic beyond the power of ten that holds all else, and its label says so.
    """
    style()
    figure, axis = plt.subplots(figsize=(7.2, 4.0))
    names = list(dict.fromkeys(table["level"]))
    kinds = list(dict.fromkeys(table["what"]))
    colours = iter(SERIES)
    for number, what in enumerate(kinds):
        rows = table[table["what"] == what]
        # side by side, so that intervals at one level do not hide each other
        aside = 0.1 * (number - (len(kinds) - 1) / 2)
        places = [names.index(level) + aside for level in rows["level"]]
        colour = NULL if what in nulls else next(colours)
        axis.plot(places, rows["mean"], "osD^vPX*"[number % 8], linestyle=":", color=colour,
                  label=what)  # fmt: skip
        axis.vlines(places, rows["low"], rows["high"], color=colour, linewidth=2.5)
    if reference is not None:
        axis.axhline(reference, color=INK, linestyle="--", linewidth=1)
    axis.set_xticks(range(len(names)), names)
    axis.grid(axis="x", visible=False)
    far = table[["low", "high"]].abs().max(axis=1).groupby(table["what"].isin(nulls)).max()
    if far.get(True, 0) > 10 * far.get(False, np.nan) > 0:
        linear = 10.0 ** np.ceil(np.log10(far[False]))
        axis.set_yscale("symlog", linthresh=linear, linscale=2)
        axis.margins(y=0.1)  # of the scale's own length, or the last marker is cut
        axis.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=linear))
        axis.yaxis.set_major_formatter("{x:g}")
        ylabel += f"\nlogarithmic beyond {linear:g}"
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return closed(figure)


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
    return closed(figure)


def histogram(values: np.ndarray, *, title: str, xlabel: str, ylabel: str) -> Figure:
    """Draw how a positive count is spread, on a logarithmic axis."""
    style()
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    positive = values[values > 0]
    bins = np.unique(np.geomspace(1, positive.max() + 1, 30).round()).tolist()
    axis.hist(positive, bins=bins, color=CLAIM, edgecolor="white")
    axis.set(xscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
    axis.xaxis.set_major_formatter(LogFormatter())
    axis.xaxis.set_minor_formatter(LogFormatter())
    return closed(figure)


def closed(figure: Figure) -> Figure:
    """Take the figure from pyplot's list, so that a notebook shows it once."""
    plt.close(figure)
    return figure
