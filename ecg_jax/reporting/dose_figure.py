"""Probability over a dose, one panel per label: mean, bands over patients, the guideline, where the mean crosses."""

import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ecg_jax import files
from ecg_jax.reporting import cells, figures, layout, style

_OF_PATIENTS, _OF_MEAN = 0.15, 0.35  # opacity
_READERS = "share of simulated readers who state it"


def show_crossing(row: Any) -> str:
    """A crossing with its interval, in the dose's unit; beyond the doses that were tried, their end."""

    def show(value: float) -> str:
        if np.isinf(value):
            return f"above {row.last_dose:.3g}" if value > 0 else f"below {row.first_dose:.3g}"
        return f"{value:.3g}"

    low, high = row.crossing_low, row.crossing_high
    is_beyond = np.isinf([low, high]).all() and low == high
    return (show(row.crossing) + ("" if is_beyond else f" ({show(low)} to {show(high)})")).replace("-", cells.MINUS)


@style.styled
def draw(curves: pd.DataFrame, crossings: pd.DataFrame, xlabel: str, caption: str, path: str) -> None:
    """Draws what `dose_curves.tabulate_curves` and `tabulate_crossings` return.

    Args:
        curves: At least one label's.
        crossings: Of the same labels.
        xlabel: The dose with its unit.
        caption: Above the legend: which model, how many patients.
        path: Of the file, whose suffix is its format.
    """
    groups = list(curves.groupby("label", sort=False))
    figure, grid, left = layout.create_panels(len(groups))
    details = []
    for axes, (label, curve) in zip(grid, groups, strict=True):
        found = crossings[crossings["label"] == label]
        _draw_panel(axes, curve, found)
        details.append(f"one half: {show_crossing(found.iloc[-1])}")
    layout.label_outer(grid, xlabel, "Probability")
    layout.set_titles(grid, [str(label) for label, _ in groups], details)
    layout.add_legend(figure, _list_handles(curves, crossings), left, style.literal(caption, 60))
    layout.arrange(figure, grid, aspect=0.8)
    with files.replacing(path, "wb") as file:
        figure.savefig(file, dpi=200, format=os.path.splitext(path)[1][1:])
    figures.close(figure)


def _draw_panel(axes: Axes, curve: pd.DataFrame, crossings: pd.DataFrame) -> None:
    dose = curve["dose"].to_numpy()
    axes.fill_between(dose, curve["tenth"], curve["ninetieth"], color=style.BLUE, alpha=_OF_PATIENTS, lw=0)
    axes.fill_between(dose, curve["mean_low"], curve["mean_high"], color=style.BLUE, alpha=_OF_MEAN, lw=0)
    axes.plot(dose, curve["mean"], color=style.BLUE, zorder=3)
    if curve["stated"].any():
        axes.plot(dose, curve["stated"], color=style.BLACK, lw=0.8, ls="--")
    limits = crossings["limits"].iloc[0]
    if np.isfinite(limits).all():
        axes.axvspan(limits[0], limits[-1], color=style.ORANGE, alpha=0.15, lw=0)
        axes.vlines(limits, 0, 1, color=style.ORANGE, lw=0.9)
    for row in crossings.itertuples():
        is_half = row.level == "one half"
        axes.axhline(row.probability, color=style.GREY, lw=0.6, ls=":" if is_half else "-.")
        if np.isfinite(row.crossing):
            ends = np.clip([row.crossing_low, row.crossing_high], dose[0], dose[-1])
            axes.plot(ends, [row.probability] * 2, color=style.BLUE, lw=2.4, solid_capstyle="butt", zorder=4)
            axes.plot(row.crossing, row.probability, **_look(row.level))
    axes.set(xlim=(dose[0], dose[-1]), ylim=(0, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=style.STEPS))
    axes.xaxis.set_major_formatter(cells.show_tick)


def _look(level: str) -> dict[str, object]:
    """Of the marker at a crossing."""
    fill = style.BLUE if level == "one half" else "white"
    return {"marker": "o", "ls": "", "ms": 5, "mfc": fill, "mec": style.BLUE, "mew": 1, "zorder": 5, "clip_on": False}


def _list_handles(curves: pd.DataFrame, crossings: pd.DataFrame) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=style.BLUE, label="mean over patients"),
        Patch(color=style.BLUE, alpha=_OF_MEAN + _OF_PATIENTS, lw=0, label="its 95 % interval"),
        Patch(color=style.BLUE, alpha=_OF_PATIENTS, lw=0, label="10 to 90 % of patients"),
        Line2D([], [], label="crosses one half", **_look("one half")),
    ]
    if (crossings["level"] == "threshold").any():
        handles.append(Line2D([], [], label="crosses the model's threshold", **_look("threshold")))
    if crossings["difference"].notna().any():
        handles.append(Line2D([], [], color=style.ORANGE, lw=0.9, label="guideline"))
    if curves["stated"].any():
        handles.append(Line2D([], [], color=style.BLACK, lw=0.8, ls="--", label=_READERS))
    return handles
