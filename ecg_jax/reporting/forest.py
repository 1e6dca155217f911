"""Estimates with their intervals, a row each: a forest plot."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import MaxNLocator

from ecg_jax.reporting import cells, style  # first: style chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_LINE = 0.15  # inches that a line of text takes
_GAP = 10.0  # points between columns


@dataclasses.dataclass(frozen=True)
class ForestRow:
    """A row of a forest plot: a name, an estimate and the ends of its interval, NaN where there is none."""

    name: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    count: str = ""  # text of the count's column
    is_heading: bool = False  # whether the row is a heading, without numbers


@style.styled
def draw_forest(
    rows: Sequence[ForestRow],
    *,
    axis_label: str,
    reference: float | None = None,
    count_label: str = "",
    value_label: str = "",
) -> Figure:
    """Draws estimates and intervals, with names and counts on the left and the numbers on the right.

    Args:
        rows: From top to bottom, at least one; the figure's height grows with them.
        axis_label: What the estimates are.
        reference: Value marked with a vertical line.
        count_label: Heading of the counts.
        value_label: Heading of the numbers, such as "AUROC (95% CI)".
    """
    if not rows:
        raise ValueError("a forest plot needs at least one row, not 0")
    names = [style.literal(row.name, 60 if row.is_heading else 36) for row in rows]
    lines = np.array([name.count("\n") + 1 for name in names])
    ends = np.cumsum(lines + 0.3)
    height = float(ends[-1]) * _LINE + (0.9 if count_label or value_label else 0.65)
    figure, axes = plt.subplots(figsize=(style.DOUBLE, height), layout="constrained")
    axes.set(ylim=(ends[-1], 0), yticks=[], xlabel=style.literal(axis_label, 60))
    axes.spines["left"].set_visible(False)
    axes.set_xlim(_find_limits(rows, reference))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=style.STEPS))
    axes.xaxis.set_major_formatter(cells.show_tick)
    if reference is not None:
        axes.axvline(reference, color=style.GREY, ls="--", lw=0.8, zorder=1)
    columns: dict[str, list[Annotation]] = {"name": [], "count": [], "value": []}
    for column, heading in (("count", count_label), ("value", value_label)):
        if heading:
            columns[column].append(_write_beside(axes, -0.6, style.literal(heading), "bold"))
    for row, name, y in zip(rows, names, ends - (lines + 0.3) / 2, strict=True):
        columns["name"].append(_write_beside(axes, y, name, "bold" if row.is_heading else "normal"))
        if row.is_heading:
            continue
        columns["count"].append(_write_beside(axes, y, style.literal(row.count), "normal"))
        shown = cells.show_interval(row.value, row.low, row.high, ".2f").replace("inf", "∞")
        columns["value"].append(_write_beside(axes, y, shown, "normal"))
        low, high = np.clip((row.low, row.high), *axes.get_xlim())
        axes.plot([low, high], [y, y], color=style.BLUE, lw=1.2, solid_capstyle="butt", zorder=2)
        axes.plot([row.value], [y], "s", color=style.BLUE, ms=4, zorder=3)
    _place(columns, figure)
    return figure


def _find_limits(rows: Sequence[ForestRow], reference: float | None) -> tuple[float, float]:
    shown = [end for row in rows if not row.is_heading for end in (row.value, row.low, row.high)]
    finite = [end for end in [*shown, *([] if reference is None else [reference])] if math.isfinite(end)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _write_beside(axes: Axes, y: float, text: str, weight: str) -> Annotation:
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    return axes.annotate(text, (0, y), (0, 0), va="center", fontweight=weight, **place)


def _place(columns: dict[str, list[Annotation]], figure: Figure) -> None:
    """Moves columns beside the panel; their widths are known only once the texts exist."""
    widths = {
        key: max((text.get_window_extent().width * 72 / figure.dpi for text in column), default=0.0)
        for key, column in columns.items()
    }
    for text in columns["name"]:
        text.set_position((-widths["name"] - widths["count"] - 2 * _GAP, 0))
    for text in columns["count"]:
        text.set_position((-_GAP, 0))
        text.set_horizontalalignment("right")
    for text in columns["value"]:
        text.xy = (1, text.xy[1])
        text.set_position((_GAP, 0))
