"""Reliability of probabilities: how often the predicted label was present, and how often each probability occurs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ecg_jax.evaluation.calibration import Reliability
from ecg_jax.reporting import layout, style

_EDGES = np.linspace(0, 1, 21)  # of the histogram's bins


@dataclasses.dataclass(frozen=True)
class ReliabilityPanel:
    """The reliability of one label."""

    title: str  # of the panel
    series: Mapping[str, Reliability]  # curves by name, such as "as predicted" and "recalibrated"
    probabilities: np.ndarray  # `[N]`, those of the histogram below the panel; what is not finite is left out


@style.styled
def draw_reliability(panels: Sequence[ReliabilityPanel]) -> Figure:
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
    layout.arrange(figure, grid)
    return figure


def _draw_curve(axes: Axes, curve: Reliability, look: dict[str, Any]) -> None:
    known = np.asarray(curve.count) > 0
    axes.plot(curve.predicted[known], curve.observed[known], clip_on=False, zorder=3, **look)
    axes.vlines(curve.predicted[known], curve.low[known], curve.high[known], color=look["color"], lw=0.8, clip_on=False)


def _draw_histogram(axes: Axes, panel: ReliabilityPanel) -> Axes:
    """An inset below a panel, which has the panel's width in any layout."""
    below = axes.inset_axes((0, -0.3, 1, 0.22))
    layout.set_unit_axes(below)
    known = panel.probabilities[np.isfinite(panel.probabilities)]
    counts, edges = np.histogram(known, _EDGES)
    top = max(int(counts.max(initial=0)), 1)
    below.set(ylim=(0.5, 2 * top), yscale="log")
    below.bar(edges[:-1], counts, np.diff(edges), align="edge", color=style.LIGHT_GREY, ec="white", lw=0.3)
    powers = [10**k for k in range(len(str(top)))]
    below.yaxis.set_major_locator(FixedLocator(powers[:: max(1, len(powers) - 1)]))  # there is room for two
    below.yaxis.set_minor_locator(NullLocator())
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return below
