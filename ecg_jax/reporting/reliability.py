"""Reliability of probabilities: how often what was predicted was there, and how often each was predicted."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ecg_jax.reporting import layout, style


@dataclasses.dataclass(frozen=True)
class ReliabilityCurve:
    """Probabilities in K bins.

    Attributes:
        predicted: `[K]`, 0 to 1: mean probability of each bin.
        observed: `[K]`, 0 to 1: share of positives in each bin.
        low: `[K]`: lower end of the interval of `observed`.
        high: `[K]`: its upper end.
        count: `[K]`: recordings in each bin; a bin of none is not drawn.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


@dataclasses.dataclass(frozen=True)
class Reliability:
    """The reliability of one label.

    Attributes:
        title: Of the panel.
        series: Curves by name, such as "as predicted" and "recalibrated".
        probabilities: `[N]`, 0 to 1: those of the histogram below the panel; what is not finite is left out.
        count_edges: `[E]`, rising from 0 to 1: edges of the histogram's bins.
    """

    title: str
    series: Mapping[str, ReliabilityCurve]
    probabilities: np.ndarray
    count_edges: np.ndarray = dataclasses.field(default_factory=lambda: np.linspace(0, 1, 21))


@style.styled
def draw_reliability(panels: Sequence[Reliability]) -> Figure:
    """Draws shares over probabilities with the diagonal of perfect calibration; below, a histogram (log counts)."""
    figure, grid, left = layout.create_panels(len(panels))
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    looks = [
        {"color": color, "ls": line, "marker": marker, "ms": 3.5, "lw": 0.8}
        for color, line, marker in map(style.choose_look, range(len(names)))
    ]
    below = []
    for axes, panel in zip(grid, panels, strict=True):
        below.append(_draw_histogram(axes, panel))
        layout.set_unit_axes(axes)
        axes.set_xticklabels([])
        curves = {name: curve for name, curve in panel.series.items() if not layout.is_blank(curve.observed)}
        if not curves:
            layout.say(axes, "no positives")
            continue
        axes.plot([0, 1], [0, 1], color=style.GREY, ls=":", lw=1, zorder=1)
        for name, curve in curves.items():
            _draw_curve(axes, curve, looks[names.index(name)])
    layout.label_outer(grid, "", "Observed frequency")
    layout.label_outer(below, "Predicted probability", "Count")
    layout.set_titles(grid, [panel.title for panel in panels], [""] * len(panels))
    handles: list[Artist] = [Line2D([], [], label=name, **look) for name, look in zip(names, looks, strict=True)]
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="perfect calibration"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid, left)
    return figure


def _draw_curve(axes: Axes, curve: ReliabilityCurve, look: dict[str, Any]) -> None:
    known = np.asarray(curve.count) > 0
    axes.plot(curve.predicted[known], curve.observed[known], clip_on=False, zorder=3, **look)
    axes.vlines(curve.predicted[known], curve.low[known], curve.high[known], color=look["color"], lw=0.8, clip_on=False)


def _draw_histogram(axes: Axes, panel: Reliability) -> Axes:
    """An inset below a panel, which keeps the panel's width whatever the layout does to it."""
    below = axes.inset_axes((0, -0.3, 1, 0.22))
    layout.set_unit_axes(below)
    known = panel.probabilities[np.isfinite(panel.probabilities)]
    counts, edges = np.histogram(known, panel.count_edges)
    top = max(int(counts.max(initial=0)), 1)
    below.set(ylim=(0.5, 2 * top), yscale="log")
    below.bar(edges[:-1], counts, np.diff(edges), align="edge", color=style.LIGHT_GREY, ec="white", lw=0.3)
    powers = [10**k for k in range(len(str(top)))]
    below.yaxis.set_major_locator(FixedLocator(powers[:: max(1, len(powers) - 1)]))  # there is room for two
    below.yaxis.set_minor_locator(NullLocator())
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return below
