"""Panels in a grid, with letters, titles, and one legend; matplotlib's constrained layout places them."""

import itertools
import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ecg_jax.reporting import style  # first: it chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_GAP = 0.04  # inches around each panel


def is_blank(*arrays: np.ndarray) -> bool:
    """Whether at no place all the arrays, of one shape, are finite."""
    return not np.logical_and.reduce([np.isfinite(np.asarray(array, float)) for array in arrays]).any()


def say(axes: Axes, text: str) -> None:
    """Writes in the middle of a panel why it is empty."""
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": style.GREY, "fontsize": style.SMALL}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)


def set_unit_axes(axes: Axes) -> None:
    """Makes both axes run from 0 to 1."""
    ticks = np.linspace(0, 1, 6)
    names = [f"{tick:g}" for tick in ticks]
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)


def create_panels(count: int, width: float | None = None) -> tuple[Figure, list[Axes], list[Axes]]:
    """A grid of panels, three in a row (four where there are more than nine, so as to fit a page).

    The figure is `width` inches wide; if None, a journal's column for one panel, a page for more. Returns the figure,
    its panels, and the unused places of its last row, which show nothing.
    """
    if count < 1:
        raise ValueError("a figure needs at least one panel, not 0")
    columns = count_columns(count)
    rows = math.ceil(count / columns)
    figure = plt.figure(figsize=(width or (style.SINGLE if columns == 1 else style.DOUBLE), 3.0 * rows))
    every = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in every[count:]:
        axes.set_axis_off()
    return figure, every[:count], every[count:]


def count_columns(count: int) -> int:
    """Panels in a row of `create_panels`."""
    return min(count, 3 if count <= 9 else 4)


def set_titles(panels: Sequence[Axes], titles: Sequence[str], details: Sequence[str]) -> None:
    """Letters (of several panels), titles, and below each title a line of grey text, which may be empty."""
    width = (44, 44, 28, 22)[count_columns(len(panels)) - 1]  # characters
    letters = itertools.chain(string.ascii_uppercase, map("".join, itertools.product(string.ascii_uppercase, repeat=2)))
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    for axes, letter, title, detail in zip(panels, letters, titles, details, strict=False):
        shown = style.literal(title, width)
        lift = 16 if detail else 6  # points
        axes.set_title(shown, pad=lift)
        if detail:
            text = axes.annotate(style.literal(detail), (0, 1), (0, 6), color=style.GREY, fontsize=style.SMALL, **place)
            text.set_in_layout(False)  # it may be wider than its panel
        if len(panels) > 1:  # as many lines as the title, so that it is beside the first
            axes.annotate(
                letter + "\n" * shown.count("\n"), (0, 1), (-22, lift), fontsize=9, fontweight="bold", **place
            )


def label_outer(panels: Sequence[Axes], xlabel: str, ylabel: str) -> None:
    """Labels the axes of the first column, and those without another panel below."""
    columns = count_columns(len(panels))
    for i, axes in enumerate(panels):
        axes.set_ylabel(ylabel if i % columns == 0 else "")
        axes.set_xlabel(xlabel if i + columns >= len(panels) else "")


def add_legend(figure: Figure, handles: Sequence[Artist], left: Sequence[Axes] = (), title: str | None = None) -> None:
    """Puts one legend into the first of the unused places `left` if it fits there, else below all panels."""
    is_dense = bool(left) and left[0].get_gridspec().ncols > 3  # type: ignore[union-attr]
    names = [style.literal(str(handle.get_label()), 20 if is_dense else 28) for handle in handles]
    shared: dict[str, Any] = {"handles": handles, "labels": names, "title": title, "alignment": "left"}
    if left and sum(name.count("\n") + 1 for name in names) <= (8 if is_dense else 12):
        left[0].legend(loc="center left", borderaxespad=0, **shared).set_in_layout(False)
        return
    for columns in range(len(names), 0, -1):
        legend = figure.legend(loc="outside lower center", ncols=columns, **shared)
        if legend.get_window_extent().width < 0.98 * figure.bbox.width or columns == 1:
            return
        legend.remove()


def arrange(figure: Figure, panels: Sequence[Axes], aspect: float = 1.0) -> None:
    """Gives panels all the width beside their labels, and the figure the height that their shape needs.

    Args:
        figure: Complete except for its layout.
        panels: All of one grid.
        aspect: Height of a panel over its width.
    """
    engine = ConstrainedLayoutEngine(w_pad=_GAP, h_pad=_GAP, wspace=0, hspace=0)
    figure.set_layout_engine(engine)
    rows = panels[0].get_gridspec().nrows  # type: ignore[union-attr]
    figure.set_figheight(rows * (figure.get_figwidth() + 1))  # more than enough: panels must not collapse
    for _ in range(2):  # margins depend a little on the size: a panel has insets
        engine.execute(figure)
        width, height = figure.get_size_inches() * panels[0].get_position(original=True).size
        figure.set_figheight(round(figure.get_figheight() + rows * (aspect * width - height), 2))
    engine.execute(figure)
    figure.set_layout_engine("none")  # for good: matplotlib would otherwise move panels at each drawing
    for axes in panels:
        axes.set_box_aspect(aspect)
        axes.apply_aspect()
