"""Figures of several panels or many cells, in the look of ``companion.figures``."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
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


LUMINANCE = (0.2126, 0.7152, 0.0722)  # how bright red, green and blue look (Rec. 709)


def families(
    table: pd.DataFrame,
    *,
    title: str,
    xlabel: str,
    nulls: Sequence[str] = ("null",),
    bound: float | None = None,
    bound_label: str = "",
) -> Figure:
    """Draw a panel per ``family``, a row per ``what`` in it: mean as a dot, interval as a line.

    Parameters
    ----------
    table
        Columns family, what, mean, low, high; panels and rows stand in the order given, rows
        without a mean are left out. All panels share an axis; rows far below the best are drawn
        as an arrow at its start, so that those that matter can be told apart.
    nulls
        Families drawn in grey.
    bound
        A value to mark by a dashed line in every panel, named in the first.
    """
    style()
    drawn = table[table["mean"].notna()]
    kinds = list(drawn["family"].unique())
    counts = [int((drawn["family"] == kind).sum()) for kind in kinds]
    figure, grid = plt.subplots(
        len(kinds), 1, sharex=True, squeeze=False, figsize=(7.2, 1.4 + 0.29 * sum(counts)),
        gridspec_kw={"height_ratios": [n + 1.2 for n in counts]}, layout="constrained",
    )  # fmt: skip
    least = 0.75 * drawn["mean"].max()
    near = drawn[drawn["mean"] >= least]
    start = float(near["low"].min())
    for axis, kind in zip(grid[:, 0], kinds, strict=True):
        rows = drawn[drawn["family"] == kind]
        places = np.arange(len(rows))[::-1]
        colour = NULL if kind in nulls else SERIES[kinds.index(kind)]
        for place, mean, low, high in zip(
            places, rows["mean"], rows["low"], rows["high"], strict=True
        ):
            if mean >= least:
                axis.hlines(place, low, high, color=colour, linewidth=3)
                axis.scatter(mean, place, color=colour, s=40, zorder=3)
            else:
                axis.scatter(start, place, color=colour, s=40, marker="<", zorder=3)
            axis.annotate(
                f"{mean:.3f}", (high if mean >= least else start, place), xytext=(7, 0),
                va="center", textcoords="offset points", fontsize=8.5, color=INK,
            )  # fmt: skip
        axis.set_yticks(places, rows["what"], fontsize=9.5)
        axis.set_ylim(-0.8, len(rows) - 0.2)
        axis.set_title(kind, fontsize=10.5)
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.1)
        if bound is not None:
            axis.axvline(bound, color=INK, linestyle="--", linewidth=1)
    if bound is not None:
        grid[0, 0].annotate(
            bound_label, (bound, 1.0), xycoords=("data", "axes fraction"), xytext=(2, 3),
            textcoords="offset points", fontsize=8, va="bottom", ha="right", color=INK,
        )  # fmt: skip
    grid[-1, 0].set_xlabel(xlabel)
    grid[-1, 0].locator_params(axis="x", nbins=6)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return closed(figure)


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
    return closed(figure)


def multiples(
    table: pd.DataFrame,
    units: Mapping[str, str],
    *,
    title: str,
    xlabel: str,
    along: Sequence[str],
    band: tuple[str, str],
    lines: Mapping[str, str],
) -> Figure:
    """Draw one small panel per measure: its mean and interval along a few settings.

    Parameters
    ----------
    table
        Columns measure, what, mean, low, high, least and most.
    units
        The measures in the order of their panels, and the label of each one's axis.
    along
        Values of ``what`` that stand along the x axis, evenly spaced, in this order.
    band
        A value of ``what`` drawn as a grey band from its least to its most, and its label.
    lines
        Two values of ``what`` drawn as dashed and dotted level lines, and their labels; a panel
        that has none gets none.
    """
    style()
    rows = -(-len(units) // 3)
    figure, axes = plt.subplots(rows, 3, figsize=(9.6, 2.5 * rows + 0.9), squeeze=False)
    places = np.arange(len(along))
    dashed = dict(zip(lines, ((0.0, (5.0, 2.0)), (0.0, (1.0, 1.5))), strict=True))
    for axis, (measure, unit) in zip(axes.flat, units.items(), strict=False):
        of = table[table["measure"] == measure].set_index("what")
        if band[0] in of.index:
            null = of.loc[band[0]]
            axis.axhspan(null["least"], null["most"], color=NULL, alpha=0.35, linewidth=0)
            axis.axhline(null["mean"], color=NULL, linewidth=1)
        for what, dashes in dashed.items():
            if what in of.index:
                axis.axhline(of.loc[what, "mean"], color=INK, linestyle=dashes, linewidth=1.2)
        main = of.loc[list(along)]
        axis.vlines(places, main["low"], main["high"], color=CLAIM, linewidth=3)
        axis.plot(places, main["mean"], marker="o", color=CLAIM)
        axis.set_xticks(places, along)
        axis.set_title(measure, fontsize=10)
        axis.set_ylabel(unit, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.margins(y=0.12)
        axis.grid(visible=False)
    for axis in axes.flat[len(units) :]:
        axis.set_visible(False)
    shown = [Line2D([], [], color=CLAIM, marker="o"), Patch(color=NULL, alpha=0.35)]
    shown += [Line2D([], [], color=INK, linestyle=dashes) for dashes in dashed.values()]
    labels = ["mean over seeds, 95 % interval", band[1], *lines.values()]
    figure.legend(shown, labels, loc="lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    inch = 1 / (2.5 * rows + 0.9)  # of the figure's height
    figure.supxlabel(xlabel, fontsize=10, y=0.55 * inch)
    figure.tight_layout(rect=(0, 0.5 * inch, 1, 1))
    return closed(figure)


def beside(table: pd.DataFrame, *, title: str, columns: int = 4) -> Figure:
    """Draw a small panel per finding: its measure on each dataset, and in grey what is beside it.

    Parameters
    ----------
    table
        Columns panel (the panel's title), dataset (categorical, in the order to be drawn), mean,
        low, high, beside, beside_low and beside_high. Each panel has its own axis.
    """
    style()
    names, datasets = table["panel"].unique(), table["dataset"].cat.categories
    rows = -(-len(names) // columns)
    size = (2.5 * columns, 0.9 + rows * (0.8 + 0.27 * len(datasets)))
    figure, axes = plt.subplots(
        rows, columns, sharey=True, squeeze=False, figsize=size, layout="constrained"
    )
    for axis, name in zip(axes.flat, names, strict=False):
        of = table[table["panel"] == name].set_index("dataset").reindex(datasets)
        places = np.arange(len(of))
        for (mean, low, high), colour, marker, shift in (
            (("beside", "beside_low", "beside_high"), NULL, "D", 0.17),
            (("mean", "low", "high"), CLAIM, "o", -0.17),
        ):
            axis.hlines(places + shift, of[low], of[high], color=colour, linewidth=2.5)
            axis.scatter(of[mean], places + shift, color=colour, marker=marker, s=22, zorder=3)
        axis.set_title(textwrap.fill(name, 34), fontsize=7.5)
        axis.set_yticks(places, datasets, fontsize=8)
        axis.set_ylim(len(of) - 0.4, -0.6)
        axis.tick_params(axis="x", labelsize=7.5)
        axis.locator_params(axis="x", nbins=4)
        axis.margins(x=0.1)
        axis.grid(axis="y", visible=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    shown = [Line2D([], [], color=CLAIM, marker="o"), Line2D([], [], color=NULL, marker="D")]
    figure.legend(
        shown, ["the finding's measure, 95 % interval", "what stands beside it"],
        loc="outside lower center", ncols=2, frameon=False,
    )  # fmt: skip
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    return closed(figure)


def scatters(
    drawings: Mapping[str, np.ndarray], kinds: Sequence[str], *, title: str, legend: str
) -> Figure:
    """Draw points (n × 2) of the same items side by side, one panel per space, by title.

    ``kinds``: a word per item; each has its own colour and marker, "other" small grey dots.
    ``legend``: what the words tell.
    """
    style()
    figure, axes = plt.subplots(1, len(drawings), figsize=(4.1 * len(drawings), 4.9), squeeze=False)
    words = np.asarray(kinds)
    order = sorted({*kinds} - {"other"}, key=lambda word: (-np.count_nonzero(words == word), word))
    looks = {w: (c, m, 16, 0.8) for w, c, m in zip(order, SERIES, "osD^vPX*", strict=False)}
    looks = {"other": (NULL, ".", 12, 0.4)} | looks if "other" in kinds else looks
    for axis, (name, points) in zip(axes.flat, drawings.items(), strict=True):
        for word, (colour, marker, size, alpha) in looks.items():
            of = points[words == word]
            axis.scatter(of[:, 0], of[:, 1], color=colour, marker=marker, s=size, alpha=alpha,
                         linewidth=0, label=word)  # fmt: skip
        axis.set_title(name, fontsize=10)
        axis.set(
            xticks=[], yticks=[], xlabel="first axis (no unit)", ylabel="second axis (no unit)"
        )
        axis.xaxis.label.set_size(8)
        axis.yaxis.label.set_size(8)
    handles, texts = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, texts, title=legend, loc="lower center", ncols=4, frameon=False,
                  markerscale=1.8)  # fmt: skip
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    return closed(figure)


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
    return closed(figure)


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
    return closed(figure)


def predictions(
    lines: pd.DataFrame,
    points: pd.DataFrame,
    looks: Mapping[str, tuple[str, str]],
    *,
    title: str,
    xlabel: str,
    columns: int = 2,
    reference: float | None = None,
) -> Figure:
    """Draw what is predicted as lines and what is measured as points, a panel per quantity.

    Parameters
    ----------
    lines
        Columns panel, what, x, y; ``panel`` is the quantity with its unit, the vertical label.
    points
        Columns panel, what, x, mean, low, high, and, where x has an interval, x_low and x_high.
    looks
        Colour and line style or marker of every ``what``.
    reference
        A value to mark by a dashed line.
    """
    style()
    panels = list(dict.fromkeys([*lines["panel"], *points["panel"]]))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(7.2, 1.6 + 2.8 * rows), squeeze=False, layout="constrained"
    )
    for panel, axis in zip(panels, axes.flat, strict=True):
        for what, line in lines[lines["panel"] == panel].groupby("what", sort=False):
            colour, form = looks[str(what)]
            axis.plot(line["x"], line["y"], color=colour, linestyle=form, label=what)
        for what, dots in points[points["panel"] == panel].groupby("what", sort=False):
            colour, form = looks[str(what)]
            across = None
            if "x_low" in dots and dots["x_low"].notna().all():
                across = [dots["x"] - dots["x_low"], dots["x_high"] - dots["x"]]
            axis.errorbar(
                dots["x"], dots["mean"], xerr=across, label=what, color=colour, fmt=form,
                yerr=[dots["mean"] - dots["low"], dots["high"] - dots["mean"]],
                markersize=5, linewidth=1.3, markerfacecolor="white" if form == "D" else colour,
            )  # fmt: skip
        if reference is not None:
            axis.axhline(reference, color=INK, linestyle="--", linewidth=1)
        axis.set_ylabel(panel, fontsize=9)
        axis.set_xlabel(xlabel, fontsize=9)
    found = {
        label: handle
        for axis in axes.flat
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return closed(figure)
