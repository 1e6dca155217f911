"""Curves over all thresholds, one panel per label: precision and recall, and ROC."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ecg_jax.reporting import layout, numbers, style

Point = tuple[float, float]
# Above the frame, along which good curves run.
_CURVE: dict[str, Any] = {"color": style.BLUE, "clip_on": False, "zorder": 2.6, "solid_capstyle": "butt"}


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """A network's precision over recall, of one label.

    Attributes:
        title: Of the panel.
        recall: `[K]`, 0 to 1, falling, as scikit-learn's `precision_recall_curve` gives it; empty without positives.
        precision: `[K]`, 0 to 1: that of each recall, down to the next lower one.
        average_precision: 0 to 1.
        prevalence: 0 to 1.
        band: Recall `[G]`, and lowest and highest precision there `[G]`, of networks trained from other seeds.
        chosen: Recall and precision of the network at its threshold.
        annotators: Recall and precision of each person.
    """

    title: str
    recall: np.ndarray
    precision: np.ndarray
    average_precision: float
    prevalence: float
    band: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    chosen: Point | None = None
    annotators: Mapping[str, Point] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Roc:
    """A network's receiver operating characteristic, of one label.

    Attributes:
        title: Of the panel.
        false_positive_rate: `[K]`, 0 to 1, rising; empty where a class is absent.
        true_positive_rate: `[K]`, 0 to 1.
        auroc: 0 to 1.
        interval: Of the AUROC.
        chosen: Rates of false and of true positives of the network at its threshold.
        annotators: The same of each person.
    """

    title: str
    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    auroc: float
    interval: tuple[float, float] | None = None
    chosen: Point | None = None
    annotators: Mapping[str, Point] = dataclasses.field(default_factory=dict)


@style.styled
def draw_precision_recall(
    panels: Sequence[PrecisionRecall], *, f1_lines: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
) -> Figure:
    """Draws precision over recall, with lines of equal F1.

    Args:
        panels: At least one. What is absent everywhere is not in the legend.
        f1_lines: Values of F1, between 0 and 1, whose lines are drawn; each is written at its line's end.
    """
    figure, grid, left = layout.create_panels(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        layout.set_unit_axes(axes)
        if layout.is_blank(panel.recall, panel.precision):
            layout.say(axes, "no positives")
            continue
        for f1 in f1_lines:
            recall = np.geomspace(f1 / (2 - f1), 1, 200)
            axes.plot(recall, f1 * recall / (2 * recall - f1), color=style.LIGHT_GREY, lw=0.6, zorder=1)
            axes.annotate(
                f"{f1:g}", (1, f1 / (2 - f1)), (3, 0), textcoords="offset points", va="center", fontsize=style.SMALL
            ).set_color(style.GREY)
        axes.axhline(panel.prevalence, color=style.GREY, ls=":", lw=1, zorder=1)
        if panel.band is not None:
            axes.fill_between(*panel.band, color=style.BLUE, alpha=0.2, lw=0)
        # Precision holds from a threshold's recall down to the next: the area below is the average precision.
        axes.plot(panel.recall, panel.precision, drawstyle="steps-post", **_CURVE)
    names = _draw_points(grid, panels)
    layout.label_outer(grid, "Recall (sensitivity)", "Precision (PPV)")
    details = [
        f"AP {numbers.show(panel.average_precision)}, prevalence {numbers.show(panel.prevalence, 3)}"
        for panel in panels
    ]
    layout.set_titles(grid, [panel.title for panel in panels], details)
    handles: list[Artist] = [Line2D([], [], color=style.BLUE, label="network")]
    if any(panel.band is not None and len(panel.band[0]) for panel in panels):
        handles.append(Patch(color=style.BLUE, alpha=0.2, lw=0, label="range over seeds"))
    handles += _list_points(names, panels)
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="prevalence"))
    if f1_lines:
        handles.append(Line2D([], [], color=style.LIGHT_GREY, lw=0.6, label="equal F1 (value at the end)"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid, left)
    return figure


@style.styled
def draw_roc(panels: Sequence[Roc]) -> Figure:
    """Draws ROC curves, at least one, with the diagonal of chance."""
    figure, grid, left = layout.create_panels(len(panels))
    for axes, panel in zip(grid, panels, strict=True):
        layout.set_unit_axes(axes)
        if layout.is_blank(panel.false_positive_rate, panel.true_positive_rate):
            layout.say(axes, "no positives,\nor no negatives")
            continue
        axes.plot([0, 1], [0, 1], color=style.GREY, ls=":", lw=1, zorder=1)
        axes.plot(panel.false_positive_rate, panel.true_positive_rate, **_CURVE)
    names = _draw_points(grid, panels)
    layout.label_outer(grid, "1 − specificity", "Sensitivity")
    details = [f"AUROC {numbers.show_interval(panel.auroc, panel.interval)}" for panel in panels]
    layout.set_titles(grid, [panel.title for panel in panels], details)
    handles: list[Artist] = [Line2D([], [], color=style.BLUE, label="network"), *_list_points(names, panels)]
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="chance"))
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid, left)
    return figure


def _draw_points(grid: Sequence[Axes], panels: Sequence[PrecisionRecall | Roc]) -> list[str]:
    """Draws people and thresholds; returns the people's names, each of which looks the same in all panels."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.annotators))
    for axes, panel in zip(grid, panels, strict=True):
        points = [(names.index(name), point) for name, point in panel.annotators.items()]
        for k, point in [*points, *([(-1, panel.chosen)] if panel.chosen is not None else [])]:
            axes.plot([point[0]], [point[1]], zorder=3 if k < 0 else 4, clip_on=False, **_look(k))
    return names


def _look(k: int) -> dict[str, Any]:
    """How a point is drawn: that of the network (-1), or of a person. People are hollow, for they often coincide."""
    if k < 0:
        return {"marker": "o", "ls": "", "ms": 5, "mfc": style.BLUE, "mec": "white", "mew": 0.8}
    color, _, marker = style.choose_look(k + 1)
    return {"marker": marker, "ls": "", "ms": 6, "mfc": "none", "mec": color, "mew": 1}


def _list_points(names: Sequence[str], panels: Sequence[PrecisionRecall | Roc]) -> list[Artist]:
    chosen = ["network at its threshold"] if any(panel.chosen is not None for panel in panels) else []
    shown = [(-1, name) for name in chosen] + list(enumerate(names))
    return [Line2D([], [], label=name, **_look(k)) for k, name in shown]
