"""How a quantity is distributed over a data set: a histogram that needs no file beside the page, and its numbers."""

import dataclasses
from typing import Any

import numpy as np

from ecg_jax.reporting import figures, style  # first: it chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_FEW = 8  # different values that are drawn as one bar each
_TAIL = 1.0  # per cent at either end; values far beyond them are left out of a histogram


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A quantity, drawn and summarized.

    Attributes:
        title: Its name, and unit in brackets.
        figure: A data URI of an SVG.
        known: Number of recordings of which it is known.
        quantiles: Smallest, 5 %, 25 %, median, 75 %, 95 %, largest; empty where none is known.
        outside: Number of recordings beyond the histogram's ends.
    """

    title: str
    figure: str
    known: int
    quantiles: tuple[float, ...]
    outside: int


def describe(title: str, values: np.ndarray) -> Distribution:
    """Draws and summarizes a quantity.

    Args:
        title: See `Distribution`.
        values: `[N]`; what is not finite is unknown.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return Distribution(title, "", 0, (), 0)
    quantiles = tuple(np.percentile(known, (0, 5, 25, 50, 75, 95, 100)).tolist())
    with plt.rc_context(style.STYLE):
        figure, axes = plt.subplots(figsize=(3.3, 2.1), layout="constrained")
        different = np.unique(known[:1]) if quantiles[0] == quantiles[-1] else np.unique(known)
        outside = _draw_bars(axes, known, different) if len(different) <= _FEW else _draw_bins(axes, known, quantiles)
        axes.set(xlabel=title, ylabel="recordings")
        axes.yaxis.set_major_locator(plt.MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(plt.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        encoded = figures.encode(figure)
        figures.close(figure)
        return Distribution(title, encoded, known.size, quantiles, outside)


def _draw_bars(axes: Any, known: np.ndarray, different: np.ndarray) -> int:
    counts = (known[:, None] == different).sum(axis=0)
    bars = axes.bar([f"{value:.4g}" for value in different], counts, width=0.6, color=style.BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=7)
    axes.set_xlim(-0.5 - max(0, 4 - len(different)) / 2, len(different) - 0.5 + max(0, 4 - len(different)) / 2)
    return 0


def _draw_bins(axes: Any, known: np.ndarray, quantiles: tuple[float, ...]) -> int:
    """Equal bins, over all but the ends of long tails; returns how many values lie there."""
    low, high = np.percentile(known, (_TAIL, 100 - _TAIL))
    margin = max(high - low, 1e-9) / 2
    low, high = max(low - margin, quantiles[0]), min(high + margin, quantiles[-1])
    counts, edges = np.histogram(known, bins=40, range=(low, high))
    axes.stairs(counts, edges, fill=True, color=style.BLUE)
    axes.axvline(quantiles[3], color=style.ORANGE, lw=1.2)
    axes.annotate(
        f"median {quantiles[3]:.3g}",
        (quantiles[3], 1),
        xycoords=("data", "axes fraction"),
        xytext=(3, 1),
        textcoords="offset points",
        color=style.ORANGE,
        fontsize=7,
        ha="left" if quantiles[3] < (low + high) / 2 else "right",
    )
    return int(known.size - counts.sum())
