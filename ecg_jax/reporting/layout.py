"""Panels in a grid, with letters, titles, and one legend."""

import itertools
import math
import string
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_jax.reporting import style  # first: it chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_GAP = 0.08  # inches between what belongs to different panels


def is_blank(*arrays: np.ndarray) -> bool:
    """Whether there is no place where all the arrays, of one shape, are finite."""
    return not np.logical_and.reduce([np.isfinite(np.asarray(array, float)) for array in arrays]).any()


def say(axes: Axes, text: str) -> None:
    """Writes in the middle of a panel why it is empty."""
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=style.GREY, fontsize=style.SMALL
    )


def set_unit_axes(axes: Axes) -> None:
    """Makes both axes run from 0 to 1."""
    ticks = np.linspace(0, 1, 6)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])


def create_panels(count: int, width: float | None = None) -> tuple[Figure, list[Axes], list[Axes]]:
    """A grid of panels, three in a row (four where there are more than nine, so as to fit a page).

    Args:
        count: Number of panels, at least 1.
        width: Of the figure in inches; a single column for one panel, a page for more, if not given.

    Returns:
        The figure, its `count` panels, and the places that are left in its last row, which show nothing.
    """
    if count < 1:
        raise ValueError("a figure needs at least one panel, not 0")
    columns = _count_columns(count)
    rows = math.ceil(count / columns)
    figure = plt.figure(figsize=(width or (style.SINGLE if columns == 1 else style.DOUBLE), 3.0 * rows))
    every = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in every[count:]:
        axes.set_axis_off()
    return figure, every[:count], every[count:]


def _count_columns(count: int) -> int:
    return min(count, 3 if count <= 9 else 4)


def set_titles(panels: Sequence[Axes], titles: Sequence[str], details: Sequence[str]) -> None:
    """Letters (of several panels), titles, and below each title a line of grey text, which may be empty."""
    width = (44, 44, 28, 22)[_count_columns(len(panels)) - 1]  # letters
    for axes, letter, title, detail in zip(panels, _letters(), titles, details, strict=False):
        shown = style.literal(title, width)
        lift = 16 if detail else 6  # points
        axes.set_title(shown, pad=lift)
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        if detail:
            axes.annotate(style.literal(detail), (0, 1), (0, 6), color=style.GREY, fontsize=style.SMALL, **place)
        if len(panels) > 1:  # as many lines as the title, so that it stands beside the first
            text = letter + "\n" * shown.count("\n")
            axes.annotate(text, (0, 1), (-22, lift), fontsize=9, fontweight="bold", **place)


def _letters() -> Iterator[str]:
    pairs = itertools.product(string.ascii_uppercase, repeat=2)
    return itertools.chain(string.ascii_uppercase, map("".join, pairs))


def label_outer(panels: Sequence[Axes], xlabel: str, ylabel: str) -> None:
    """Labels the axes of the first column, and those below which there is no other panel."""
    columns = _count_columns(len(panels))
    for i, axes in enumerate(panels):
        axes.set_ylabel(ylabel if i % columns == 0 else "")
        axes.set_xlabel(xlabel if i + columns >= len(panels) else "")


def add_legend(figure: Figure, handles: Sequence[Artist], left: Sequence[Axes] = (), title: str | None = None) -> None:
    """Puts one legend into the first of the places `left` where it fits there, else below everything."""
    is_dense = bool(left) and left[0].get_gridspec().ncols > 3  # type: ignore[union-attr]
    names = [style.literal(str(handle.get_label()), 20 if is_dense else 28) for handle in handles]
    shared: dict[str, Any] = {"handles": handles, "labels": names, "title": title, "alignment": "left"}
    if left and sum(name.count("\n") + 1 for name in names) <= (8 if is_dense else 12):
        left[0].legend(loc="center left", borderaxespad=0, **shared)
        return
    for columns in range(len(names), 0, -1):
        legend = figure.legend(loc="lower center", borderaxespad=0, ncols=columns, **shared)
        if legend.get_window_extent().width < 0.98 * figure.bbox.width or columns == 1:
            return
        legend.remove()


def arrange(
    figure: Figure, panels: Sequence[Axes], left: Sequence[Axes] = (), aspect: float = 1.0, columns: int | None = None
) -> None:
    """Gives panels all the width there is beside their labels, and the figure the height that this takes.

    matplotlib's own layouts leave gaps between panels of a fixed shape.

    Args:
        figure: Complete but for its layout; a legend below the panels is already there.
        panels: In reading order.
        left: The places after them.
        aspect: Height of a panel over its width.
        columns: Panels in a row, where that is not as in `create_panels`.
    """
    columns = columns or _count_columns(len(panels))
    rows = math.ceil(len(panels) / columns)
    width = figure.get_figwidth()
    legend = sum(item.get_window_extent().height / figure.dpi + _GAP for item in figure.legends)
    for _ in range(3):  # an inset's size, and so what stands beside a panel, depends on the panel's
        margins = np.zeros((rows, columns, 4))
        for i, axes in enumerate(panels):
            margins[divmod(i, columns)] = _measure_margins(axes)
        west, east = margins[..., 0].max(axis=0), margins[..., 1].max(axis=0)
        south, north = margins[..., 2].max(axis=1), margins[..., 3].max(axis=1)
        side = (width - west.sum() - east.sum() - (columns + 1) * _GAP) / columns
        height = round(south.sum() + north.sum() + rows * side * aspect + (rows + 1) * _GAP + legend, 2)
        figure.set_figheight(height)
        x = np.cumsum(_GAP + west) + np.cumsum(side + east) - side - east
        y = height - np.cumsum(_GAP + north + side * aspect) - np.cumsum(south) + south
        for i, axes in enumerate([*panels, *left]):
            row, column = divmod(i, columns)
            axes.set_position((x[column] / width, y[row] / height, side / width, side * aspect / height))


def _measure_margins(axes: Axes) -> tuple[float, float, float, float]:
    """Inches that the labels of a panel take on its left, right, lower and upper side."""
    inner, outer = axes.get_window_extent(), axes.get_tightbbox()
    assert outer is not None
    sides = (inner.x0 - outer.x0, outer.x1 - inner.x1, inner.y0 - outer.y0, outer.y1 - inner.y1)
    west, east, south, north = (float(side) / axes.figure.dpi for side in sides)
    return west, min(east, 0.35), south, north  # a title that is too wide is not given the room of its panel
