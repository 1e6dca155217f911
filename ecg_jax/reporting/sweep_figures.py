"""Figures of a sweep: what was tried and how good it was."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from ecg_jax.reporting import layout, style  # first: style chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_NAMES = {
    "auroc": "AUROC, macro",
    "average_precision": "average precision, macro",
    "loss": "loss per label",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "pearson": "Pearson's correlation",
}
_SHOWN = 7  # curves: as many as there are looks


def name_objective(objective: str) -> str:
    """As an axis has it."""
    return _NAMES.get(objective, objective)


@style.styled
def draw_learning_curves(curves: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], objective: str) -> Figure:
    """Validation over steps: a line per configuration, the mean of its runs, and their range.

    `curves` holds the validation lines of `metrics.jsonl` by configuration, best first, and run; `objective` is a key
    of them.
    """
    figure, panels, _ = layout.create_panels(1, width=style.DOUBLE)
    axes = panels[0]
    for k, (name, runs) in enumerate(list(curves.items())[:_SHOWN]):
        table = pd.DataFrame({i: {line["step"]: line.get(objective) for line in run} for i, run in enumerate(runs)})
        table = table.astype(float).sort_index()
        color, line, marker = style.choose_look(k)
        axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=color, alpha=0.12, linewidth=0)
        axes.plot(
            table.index, table.mean(axis=1), color=color, linestyle=line, marker=marker, ms=3, label=style.literal(name)
        )
    axes.set(xlabel="Step", ylabel=f"Validation {name_objective(objective)}")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    layout.add_legend(figure, axes.lines)
    layout.arrange(figure, panels, aspect=0.45)
    return figure


@style.styled
def draw_slices(table: pd.DataFrame, keys: Sequence[str], column: str, label: str) -> Figure:
    """The objective against each key: a point per configuration, with its interval over seeds where there is one.

    `table` has a row per configuration: the keys and the objective, `column`, with the ends of its interval in columns
    that end in `_low` and `_high`.
    """
    figure, panels, _ = layout.create_panels(len(keys))
    for axes, key in zip(panels, keys, strict=True):
        place, ticks, is_log = _place(table[key])
        low, high = table[f"{column}_low"], table[f"{column}_high"]
        error = np.nan_to_num(np.stack([table[column] - low, high - table[column]]))
        axes.errorbar(place, table[column], error, fmt="none", ecolor=style.LIGHT_GREY, elinewidth=0.6, zorder=1)
        axes.scatter(place, table[column], s=12, color=style.BLUE, zorder=2)
        best = table[column].notna().to_numpy().argmax()
        axes.scatter(place[best], table[column].iloc[best], s=30, facecolors="none", edgecolors=style.ORANGE, zorder=3)
        if ticks is not None:
            axes.set_xticks(range(len(ticks)), [style.literal(text, 14) for text in ticks])
        elif is_log:
            _scale_by_decades(axes, place.max() / place.min())
        axes.set_xlabel(style.literal(key, 34))
        span = np.nanmax(table[column]) - np.nanmin(table[column]) or abs(table[column].iloc[0]) or 1.0
        axes.set_ylim(np.nanmin(table[column]) - 0.25 * span, np.nanmax(table[column]) + 0.25 * span)
    for axes in panels[:: layout.count_columns(len(panels))]:  # the first of each row
        axes.set_ylabel(label)
    layout.arrange(figure, panels, aspect=0.75)
    return figure


@style.styled
def draw_parallel(
    table: pd.DataFrame, keys: Sequence[str], column: str, label: str, *, higher_is_better: bool
) -> Figure:
    """Parallel coordinates: a line per configuration through its keys to its objective, the last axis.

    `table` has a row per configuration, best first; `higher_is_better` says which end of the objective is dark.
    """
    figure, axes = plt.subplots(figsize=(style.DOUBLE, 2.8), layout="constrained")
    values = table[column].to_numpy(np.float64)
    span = np.nanmax(values) - np.nanmin(values) or 1.0
    height = (values - np.nanmin(values)) / span
    goodness = height if higher_is_better else 1 - height
    columns = []
    for number, key in enumerate(keys):
        place, ticks, is_log = _place(table[key])
        place = np.log10(place) if is_log else place.astype(np.float64)
        low, high = (0.0, float(len(ticks) - 1)) if ticks is not None else (np.nanmin(place), np.nanmax(place))
        columns.append((place - low) / (high - low) if high > low else np.full(len(place), 0.5))
        if ticks is not None:
            marks = [(k / max(len(ticks) - 1, 1) if len(ticks) > 1 else 0.5, text) for k, text in enumerate(ticks)]
        else:
            marks = [(0.0, f"{10**low if is_log else low:.3g}"), (1.0, f"{10**high if is_log else high:.3g}")]
        for at, text in marks:
            axes.text(number - 0.03, at, style.literal(text, 20), ha="right", va="center", fontsize=style.SMALL - 1)
    lines = np.stack([*columns, height], axis=1)
    colours = plt.get_cmap("viridis_r")
    for row in np.argsort(goodness):
        axes.plot(lines[row], color=colours(0.1 + 0.85 * goodness[row]), lw=0.7 + goodness[row], alpha=0.8)
    last = len(keys)
    for at, value in ((0.0, np.nanmin(values)), (1.0, np.nanmax(values))):
        axes.text(last + 0.03, at, f"{value:.4g}", ha="left", va="center", fontsize=style.SMALL)
    for number in range(last + 1):
        axes.axvline(number, color=style.GREY, lw=0.6, zorder=0)
    names = [*(style.literal(key.replace(".", ". "), 18).replace(". ", ".") for key in keys), label]
    axes.set_xticks(range(last + 1), names)
    axes.set(yticks=[], xlim=(-0.5, last + 0.35), ylim=(-0.05, 1.05))
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    return figure


@style.styled
def draw_importance(importance: Mapping[str, float]) -> Figure:
    """Bars: the share of the objective's variance that each key explains."""
    figure, axes = plt.subplots(figsize=(style.DOUBLE, 0.6 + 0.28 * len(importance)), layout="constrained")
    names = sorted(importance, key=lambda name: importance[name])
    axes.barh(
        [style.literal(name) for name in names], [importance[name] for name in names], color=style.BLUE, height=0.6
    )
    for place, name in enumerate(names):
        axes.text(importance[name] + 0.01, place, f"{importance[name]:.2f}", va="center", fontsize=style.SMALL)
    axes.set(xlabel="Share of the variance explained", xlim=(0, 1.08))
    return figure


def _place(values: pd.Series) -> tuple[np.ndarray, list[str] | None, bool]:
    """Positions of values on an axis: numbers at their values (and whether on a log scale), others in equal steps."""
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if is_number and values.notna().all() and values.nunique() > 1:
        numbers = values.to_numpy(np.float64)
        is_log = bool((numbers > 0).all() and numbers.max() / numbers.min() >= 10)
        return numbers, None, is_log
    names = list(dict.fromkeys(_show(value) for value in values))
    return np.array([names.index(_show(value)) for value in values]), names, False


def _scale_by_decades(axes: Axes, ratio: float) -> None:
    """A logarithmic axis, on which few decades have a tick between them and no other is named."""
    axes.set_xscale("log")
    if ratio < 100:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _show(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "as in the base"
    return str(value)
