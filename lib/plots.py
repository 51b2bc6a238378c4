"""The book's figures: tidy tables in, figures out, one look for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

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


def between(
    table: pd.DataFrame, *, title: str, xlabels: Sequence[str], groups: str = "group"
) -> Figure:
    """Draw scores between their floor and their ceiling, side by side by kind of score.

    Parameters
    ----------
    table
        Columns what (one row of the figure each), panel, ``groups`` (colours), mean, low, high,
        and floor and ceiling, between which a grey bar is drawn.
    xlabels
        What each panel's axis shows, with its unit, in the order of the panels.
    """
    style()
    names, panels = (list(table[column].unique()) for column in ("what", "panel"))
    kinds = list(table[groups].unique())
    figure, axes = plt.subplots(
        1, len(panels), sharey=True, squeeze=False, layout="constrained",
        figsize=(7.2, 1.5 + 0.24 * len(names) * len(kinds)),
    )  # fmt: skip
    for axis, panel, xlabel in zip(axes[0], panels, xlabels, strict=True):
        for number, kind in enumerate(kinds):
            rows = table[(table["panel"] == panel) & (table[groups] == kind)]
            shift = 0.7 * ((number + 0.5) / len(kinds) - 0.5)
            places = [shift + names.index(what) for what in rows["what"]]
            axis.hlines(places, rows["floor"], rows["ceiling"], color=NULL, alpha=0.35, linewidth=7,
                        label="random pairs to second seed" if number == 0 else None)  # fmt: skip
            axis.hlines(places, rows["low"], rows["high"], color=SERIES[number], linewidth=2.5)
            axis.scatter(rows["mean"], places, color=SERIES[number], marker="osD^"[number % 4],
                         s=38, zorder=3, label=kind)  # fmt: skip
        axis.set(xlabel=xlabel, ylabel="")
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return _closed(figure)


def ladder(
    table: pd.DataFrame, *, title: str, xlabel: str, ylabel: str, bounds: Mapping[str, float]
) -> Figure:
    """Draw ``mean`` with its interval over ordered ``step``s, one line per ``what``.

    A ``what`` with the column ``dashed`` true is drawn dashed; lines of one ``group`` share a
    colour. ``bounds`` are one or two values to mark by grey lines, by label.
    """
    style()
    figure, axis = plt.subplots(figsize=(7.2, 4.2))
    steps, groups = list(table["step"].unique()), list(table["group"].unique())
    for what, rows in table.groupby("what", sort=False):
        number = groups.index(rows["group"].iloc[0])
        places = [steps.index(step) for step in rows["step"]]
        dashed = bool(rows["dashed"].iloc[0])
        axis.plot(
            places, rows["mean"], "--" if dashed else "-", color=SERIES[number],
            marker="osD^"[number % 4], mfc="white" if dashed else None, label=what,
        )  # fmt: skip
        axis.fill_between(places, rows["low"], rows["high"], color=SERIES[number], alpha=0.15)
    for (label, value), line in zip(bounds.items(), (":", "-."), strict=False):
        axis.axhline(value, color=NULL, linewidth=1.5, linestyle=line, label=label)
    axis.set_xticks(range(len(steps)), steps)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    return _closed(figure)


def _closed(figure: Figure) -> Figure:
    """Take the figure from pyplot's list, so that a notebook shows it once."""
    plt.close(figure)
    return figure
