"""Decision curves: what acting on a network is worth, one panel per label."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ecg_jax.reporting import layout, numbers, style


@dataclasses.dataclass(frozen=True)
class DecisionCurve:
    """Net benefit, in true positives per person, of acting on a network's probability; of one label.

    Attributes:
        title: Of the panel.
        threshold: `[T]`, 0 to 1, rising: probability above which one acts; empty without positives.
        model: `[T]`: net benefit of acting on the network.
        treat_all: `[T]`: net benefit of acting on everybody; it may fall to minus infinity.
    """

    title: str
    threshold: np.ndarray
    model: np.ndarray
    treat_all: np.ndarray


@style.styled
def draw_decision_curves(panels: Sequence[DecisionCurve]) -> Figure:
    """Draws net benefit over the threshold probability, at least one panel.

    The axis ends a little below zero: how much harm it does to treat everybody is of no interest.
    """
    figure, grid, left = layout.create_panels(len(panels))
    strategies = {
        "network": (style.BLUE, "-"),
        "treat all": (style.ORANGE, "--"),
        "treat none": (style.GREY, ":"),
    }
    for axes, panel in zip(grid, panels, strict=True):
        if layout.is_blank(panel.threshold, panel.model):
            layout.say(axes, "no positives")
            layout.set_unit_axes(axes)
            axes.set_yticks([])
            continue
        values = (panel.model, panel.treat_all, np.zeros(len(panel.threshold)))
        for value, (color, line) in zip(values, strategies.values(), strict=True):
            axes.plot(panel.threshold, value, color=color, ls=line)
        finite = np.concatenate([value[np.isfinite(value)] for value in values])
        known = panel.threshold[np.isfinite(panel.threshold)]
        axes.set(xlim=(min(0.0, known.min()), max(known.max(), 1e-3)), ylim=_find_limits(finite, panel.model))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=style.STEPS))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=style.STEPS))
        axes.xaxis.set_major_formatter(numbers.format_tick)
        axes.yaxis.set_major_formatter(numbers.format_tick)
    layout.label_outer(grid, "Threshold probability", "Net benefit")
    layout.set_titles(grid, [panel.title for panel in panels], [""] * len(panels))
    handles = [Line2D([], [], color=color, ls=line, label=name) for name, (color, line) in strategies.items()]
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid, left)
    return figure


def _find_limits(finite: np.ndarray, model: np.ndarray) -> tuple[float, float]:
    """Limits of net benefits, from some way below zero; all of the model's, if it never does better than no one."""
    best = float(finite.max())
    if best > 0:
        return -0.25 * best, 1.1 * best
    worst = min(float(model[np.isfinite(model)].min()), -1e-3)
    return 1.1 * worst, -0.25 * worst
