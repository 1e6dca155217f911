"""Curves over all thresholds, one panel per label: precision and recall, ROC, and net benefit."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ecg_jax.reporting import cells, layout, style

Point = tuple[float, float]
# Above the frame, along which good curves run.
_CURVE: dict[str, Any] = {"color": style.BLUE, "clip_on": False, "zorder": 2.6, "solid_capstyle": "butt"}


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """A network's precision over recall, of one label."""

    title: str  # of the panel
    recall: np.ndarray  # `[K]`, falling, as from scikit-learn's `precision_recall_curve`; empty without positives
    precision: np.ndarray  # `[K]`: that of each recall, down to the next lower one
    average_precision: float  # 0 to 1
    prevalence: float  # 0 to 1
    # Recall `[G]`, and lowest and highest precision there `[G]`, of networks trained from other seeds.
    band: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    chosen: Point | None = None  # recall and precision of the network at its threshold
    annotators: Mapping[str, Point] = dataclasses.field(default_factory=dict)  # recall and precision of each person


@dataclasses.dataclass(frozen=True)
class Roc:
    """A network's receiver operating characteristic, of one label."""

    title: str  # of the panel
    false_positive_rate: np.ndarray  # `[K]`, rising; empty where a class is absent
    true_positive_rate: np.ndarray  # `[K]`
    auroc: float  # 0 to 1
    interval: tuple[float, float] | None = None  # of the AUROC
    chosen: Point | None = None  # rates of false and of true positives of the network at its threshold
    annotators: Mapping[str, Point] = dataclasses.field(default_factory=dict)  # the same of each person


@style.styled
def draw_precision_recall(
    panels: Sequence[PrecisionRecall], *, f1_lines: Sequence[float] = (0.2, 0.4, 0.6, 0.8)
) -> Figure:
    """Draws precision over recall, with lines of equal F1, whose values are written at their ends."""
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
        f"AP {cells.show(panel.average_precision, '.2f')}, prevalence {cells.show(panel.prevalence)}"
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
    return _finish(figure, grid, left, handles)


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
    areas = [
        cells.show_interval(panel.auroc, *panel.interval, ".2f") if panel.interval else cells.show(panel.auroc, ".2f")
        for panel in panels
    ]
    layout.set_titles(grid, [panel.title for panel in panels], [f"AUROC {area}" for area in areas])
    handles: list[Artist] = [Line2D([], [], color=style.BLUE, label="network"), *_list_points(names, panels)]
    handles.append(Line2D([], [], color=style.GREY, ls=":", lw=1, label="chance"))
    return _finish(figure, grid, left, handles)


def _finish(figure: Figure, grid: Sequence[Axes], left: Sequence[Axes], handles: Sequence[Artist]) -> Figure:
    layout.add_legend(figure, handles, left)
    layout.arrange(figure, grid)
    return figure


def _draw_points(grid: Sequence[Axes], panels: Sequence[PrecisionRecall | Roc]) -> list[str]:
    """Draws people and thresholds; returns the people's names, whose looks are the same in all panels."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.annotators))
    for axes, panel in zip(grid, panels, strict=True):
        points = [(names.index(name), point) for name, point in panel.annotators.items()]
        for k, point in [*points, *([(-1, panel.chosen)] if panel.chosen is not None else [])]:
            axes.plot([point[0]], [point[1]], zorder=3 if k < 0 else 4, clip_on=False, **_look(k))
    return names


def _look(k: int) -> dict[str, Any]:
    """How a point of the network (-1) or of a person is drawn; people's are hollow, for they often coincide."""
    if k < 0:
        return {"marker": "o", "ls": "", "ms": 5, "mfc": style.BLUE, "mec": "white", "mew": 0.8}
    color, _, marker = style.choose_look(k + 1)
    return {"marker": marker, "ls": "", "ms": 6, "mfc": "none", "mec": color, "mew": 1}


def _list_points(names: Sequence[str], panels: Sequence[PrecisionRecall | Roc]) -> list[Artist]:
    chosen = ["network at its threshold"] if any(panel.chosen is not None for panel in panels) else []
    shown = [(-1, name) for name in chosen] + list(enumerate(names))
    return [Line2D([], [], label=name, **_look(k)) for k, name in shown]


@dataclasses.dataclass(frozen=True)
class DecisionCurve:
    """Net benefit, in true positives per person, of acting on a network's probability; of one label."""

    title: str  # of the panel
    threshold: np.ndarray  # `[T]`, 0 to 1, rising: probability from which one acts; empty without positives
    model: np.ndarray  # `[T]`: net benefit of acting on the network
    treat_all: np.ndarray  # `[T]`: net benefit of acting on everybody; it may fall to minus infinity


@style.styled
def draw_decision_curves(panels: Sequence[DecisionCurve]) -> Figure:
    """Draws net benefit over the threshold probability, at least one panel.

    The axis ends a little below zero: the harm of treating everybody is of no interest.
    """
    figure, grid, left = layout.create_panels(len(panels))
    strategies = {"network": (style.BLUE, "-"), "treat all": (style.ORANGE, "--"), "treat none": (style.GREY, ":")}
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
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=style.STEPS))
            axis.set_major_formatter(cells.show_tick)
    layout.label_outer(grid, "Threshold probability", "Net benefit")
    layout.set_titles(grid, [panel.title for panel in panels], [""] * len(panels))
    handles = [Line2D([], [], color=color, ls=line, label=name) for name, (color, line) in strategies.items()]
    return _finish(figure, grid, left, handles)


def _find_limits(finite: np.ndarray, model: np.ndarray) -> tuple[float, float]:
    """Limits of net benefits, from a little below zero; if the model is never better than nothing, all of its own."""
    best = float(finite.max())
    if best > 0:
        return -0.25 * best, 1.1 * best
    worst = min(float(model[np.isfinite(model)].min()), -1e-3)
    return 1.1 * worst, -0.25 * worst
