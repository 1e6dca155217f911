"""Predicted numbers against true ones, one panel per label: scatter, agreement, and errors along the range of truth."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ecg_jax.reporting import cells, layout, style

Ends = tuple[float, float]
_MOST_POINTS = 2000  # that are drawn one by one; more are counted in hexagons
_HEXAGONS = 40  # across a panel
_SHADES = LinearSegmentedColormap.from_list("counts", ("#DCE9F4", style.BLUE, "#00263F"))
_INTERVAL = 0.2  # opacity
_EMPTY = "no known number"


@dataclasses.dataclass(frozen=True)
class Scatter:
    """True and predicted numbers of one label."""

    title: str  # of the panel
    truth: np.ndarray  # `[n]`, known; may be empty
    predicted: np.ndarray  # `[n]`
    detail: str = ""  # grey line below the title
    line: tuple[float, float] | None = None  # slope and intercept of truth on prediction


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Differences of predicted and true numbers of one label."""

    title: str  # of the panel
    truth: np.ndarray  # `[n]`, known; may be empty
    predicted: np.ndarray  # `[n]`
    bias: float
    limits: Ends  # NaN where undefined
    intervals: tuple[Ends, Ends, Ends] | None = None  # of the lower limit, the bias and the upper limit


@dataclasses.dataclass(frozen=True)
class Errors:
    """Mean errors of one label in parts of its range."""

    title: str  # of the panel
    truth: np.ndarray  # `[parts]`, mean true number of each; may be empty
    error: np.ndarray  # `[parts]`, mean of predicted minus true
    low: np.ndarray | None = None  # `[parts]`, the ends of its interval
    high: np.ndarray | None = None


@style.styled
def draw_predicted(panels: Sequence[Scatter]) -> Figure:
    """Draws predicted over true numbers, with the line of identity and that of calibration."""
    figure, grid, left = layout.create_panels(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        if not panel.truth.size:
            _leave_empty(axes)
            continue
        ends = _find_ends(np.concatenate([panel.truth, panel.predicted]))
        axes.set(xlim=ends, ylim=ends)
        _draw_points(axes, panel.truth, panel.predicted)
        axes.plot(ends, ends, color=style.GREY, ls=":", lw=1, zorder=3)
        if panel.line is not None and np.isfinite(panel.line).all():
            slope, intercept = panel.line
            known = np.array([panel.predicted.min(), panel.predicted.max()])
            axes.plot(intercept + slope * known, known, color=style.ORANGE, ls="--", zorder=3)
        _set_ticks(axes)
    layout.label_outer(grid, "True", "Predicted")
    layout.set_titles(grid, [panel.title for panel in panels], [panel.detail for panel in panels])
    handles = _list_points(panels)
    if any(panel.line is not None for panel in panels):
        handles.append(Line2D([], [], color=style.ORANGE, ls="--", label="calibration: mean truth by prediction"))
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="identity"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid)
    return figure


@style.styled
def draw_agreement(panels: Sequence[Agreement]) -> Figure:
    """Draws differences over means of predicted and true numbers, with bias and limits of agreement."""
    figure, grid, left = layout.create_panels(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        if not panel.truth.size:
            _leave_empty(axes)
            continue
        middle, difference = (panel.truth + panel.predicted) / 2, panel.predicted - panel.truth
        axes.set(xlim=_find_ends(middle), ylim=_find_ends(np.append(difference, (0.0, *panel.limits))))
        _draw_points(axes, middle, difference)
        axes.axhline(0, color=style.GREY, ls=":", lw=1, zorder=3)
        for value, line in ((panel.bias, "-"), *((limit, "--") for limit in panel.limits)):
            axes.axhline(value, color=style.ORANGE, ls=line, lw=1, zorder=3)
        for ends in panel.intervals or ():
            axes.axhspan(*ends, color=style.ORANGE, alpha=_INTERVAL, lw=0, zorder=2.5)
        _set_ticks(axes)
    layout.label_outer(grid, "Mean of predicted and true", "Predicted − true")
    layout.set_titles(grid, [panel.title for panel in panels], [_describe(panel) for panel in panels])
    handles = _list_points(panels)
    handles.append(Line2D([], [], color=style.ORANGE, lw=1, label="bias"))
    handles.append(Line2D([], [], color=style.ORANGE, lw=1, ls="--", label="95 % limits of agreement"))
    if any(panel.intervals for panel in panels):
        handles.append(Patch(color=style.ORANGE, alpha=_INTERVAL, lw=0, label="their intervals"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid)
    return figure


@style.styled
def draw_errors(panels: Sequence[Errors]) -> Figure:
    """Draws mean errors over mean true numbers."""
    figure, grid, left = layout.create_panels(len(panels))
    look: dict[str, Any] = {"color": style.BLUE, "marker": "o", "ms": 3.5, "lw": 0.8}
    for axes, panel in zip(grid, panels, strict=True):
        if not panel.truth.size:
            _leave_empty(axes)
            continue
        axes.axhline(0, color=style.GREY, ls=":", lw=1, zorder=1)
        axes.plot(panel.truth, panel.error, zorder=3, **look)
        reach = [panel.error, np.zeros(1)]
        if panel.low is not None and panel.high is not None:
            axes.vlines(panel.truth, panel.low, panel.high, color=style.BLUE, lw=0.8)
            reach += [panel.low, panel.high]
        axes.set(xlim=_find_ends(panel.truth), ylim=_find_ends(np.concatenate(reach)))
        _set_ticks(axes)
    layout.label_outer(grid, "True (mean of the part)", "Mean of predicted − true")
    layout.set_titles(grid, [panel.title for panel in panels], [""] * len(panels))
    handles: list[Artist] = [Line2D([], [], label="mean error", **look)]
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="no error"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid)
    return figure


def _describe(panel: Agreement) -> str:
    """Bias and limits, with three figures of the larger limit."""
    if not np.isfinite(panel.limits).all():
        return ""
    decimals = max(0, 2 - math.floor(math.log10(max(map(abs, panel.limits)) or 1)))
    return f"bias {cells.show_interval(panel.bias, *panel.limits, f'.{decimals}f')}"


def _leave_empty(axes: Axes) -> None:
    layout.say(axes, _EMPTY)
    layout.set_unit_axes(axes)


def _find_ends(values: np.ndarray) -> Ends:
    """Limits of an axis with some room around what is finite."""
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _draw_points(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draws points, or how many there are in each hexagon; the axes have their limits."""
    if len(x) <= _MOST_POINTS:
        axes.plot(x, y, "o", color=style.BLUE, ms=3, mew=0, alpha=0.35, rasterized=len(x) > 500, zorder=2)
        return
    extent = (*axes.get_xlim(), *axes.get_ylim())
    axes.hexbin(x, y, gridsize=_HEXAGONS, extent=extent, bins="log", mincnt=1, cmap=_SHADES, lw=0.1, zorder=2)


def _list_points(panels: Sequence[Scatter] | Sequence[Agreement]) -> list[Artist]:
    """What points and hexagons are called in the legend."""
    sizes, found = [len(panel.truth) for panel in panels], list[Artist]()
    if any(0 < size <= _MOST_POINTS for size in sizes):
        found.append(Line2D([], [], color=style.BLUE, marker="o", ls="", ms=3, mew=0, alpha=0.6, label="recording"))
    if any(size > _MOST_POINTS for size in sizes):
        found.append(Patch(color=style.BLUE, lw=0, label="recordings (darker: more, log scale)"))
    return found


def _set_ticks(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=style.STEPS))
        axis.set_major_formatter(cells.show_tick)
