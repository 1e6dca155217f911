"""The mean beat of a label in each lead, with what speaks for the label as a shade behind it."""

import dataclasses
import os
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ecg_jax import files
from ecg_jax.reporting import ecg_shade, style

_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_WIDTH, _HEIGHT = 183.0, 168.0  # mm
_TABLE, _PANELS, _FOOT = 23.0, 47.0, 28.0  # mm from the top, and of the foot
_GRID = {"left": 0.075, "right": 0.99, "wspace": 0.06, "hspace": 0.08}
_TICKS = (-200, 0, 200, 400)  # ms
_SPREAD = (10, 90)  # per cent of recordings


@dataclasses.dataclass(frozen=True)
class BeatMap:
    """Of recordings the mean over beats, and what is known of them together."""

    label: str
    method: str
    data: str  # what was averaged, in words
    time: np.ndarray  # `[n]` seconds from the onset of QRS, in equal steps
    leads: tuple[str, ...]  # of the L columns
    beats: np.ndarray  # `[N, n, L]` of recordings with the label that are called; NaN where a lead has no signal
    others: np.ndarray  # `[M, n, L]` of recordings without it that are not called
    values: np.ndarray  # `[n, L]` mean attribution of the former, in logits per second
    shares: np.ndarray  # `[L, 4]` mean of `ecg_shade.Explanation.shares`
    counts: tuple[int, int]  # recordings with the label and without, of which those are
    unit: str = "mV"  # of beats
    left_out: tuple[str, ...] = ()  # of both, recordings that cannot be averaged, and why


def summarize(found: BeatMap) -> pd.DataFrame:
    """A row per lead and time, of recordings that have a signal there.

    Columns: `lead`, `seconds`, `mean`, `p10`, `p90`, `mean_without` (the four in `unit`), `attribution`, `recordings`,
    `recordings_without`, `unit`.
    """
    beats, others = (pd.DataFrame(each.reshape(len(each), found.values.size)) for each in (found.beats, found.others))
    low, high = beats.quantile([share / 100 for share in _SPREAD]).to_numpy()
    columns = {
        "mean": beats.mean(),
        "p10": low,
        "p90": high,
        "mean_without": others.mean(),
        "attribution": found.values,
        "recordings": beats.count(),
        "recordings_without": others.count(),
    }
    flat = {name: np.reshape(values, found.values.shape).T.ravel() for name, values in columns.items()}
    places = {"lead": np.repeat(found.leads, len(found.time)), "seconds": np.tile(found.time, len(found.leads))}
    return pd.DataFrame(places | flat | {"unit": found.unit})


@style.styled
def draw(found: BeatMap, path: str, notice: str = "") -> pd.DataFrame:
    """Draws a panel per lead; the suffix of `path` is the format. Returns what is drawn, see `summarize`."""
    table = summarize(found)
    figure = plt.figure(figsize=(_WIDTH / 25.4, _HEIGHT / 25.4))
    try:
        _write_heading(figure, found, notice)
        panels = figure.subplots(
            3,
            4,
            sharex=True,
            sharey=True,
            gridspec_kw=_GRID | {"top": 1 - _PANELS / _HEIGHT, "bottom": _FOOT / _HEIGHT},
        )
        shades, darkest = ecg_shade.smooth(found.values, 1 / (found.time[1] - found.time[0]))
        drawn = {lead: rows for lead, rows in table.groupby("lead", sort=False)}
        limits = _find_limits(table)
        for axes, lead in zip(panels.ravel(), np.ravel(_ROWS), strict=True):
            axes.set(xticks=_TICKS, xlim=(1e3 * found.time[0], 1e3 * found.time[-1]), ylim=limits)
            axes.text(0.03, 0.95, lead, transform=axes.transAxes, fontweight="bold", va="top", zorder=4)
            if lead in drawn:
                _draw_lead(axes, drawn[lead], shades[:, found.leads.index(lead)])
        figure.supxlabel("ms from the onset of QRS", y=(_FOOT - 9) / _HEIGHT, fontsize=8)
        figure.supylabel(found.unit, x=0.005, fontsize=8)
        _draw_legend(figure, found, darkest)
        with files.replacing(path, "wb") as file:
            figure.savefig(file, dpi=200, format=os.path.splitext(path)[1][1:])
    finally:
        plt.close(figure)
    return table


def _find_limits(rows: pd.DataFrame) -> tuple[float, float]:
    known = rows[["p10", "p90", "mean_without"]].to_numpy()
    low, high = (np.nanmin(known), np.nanmax(known)) if np.isfinite(known).any() else (0.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _draw_lead(axes: Axes, rows: pd.DataFrame, shades: np.ndarray) -> None:
    time = 1e3 * rows["seconds"].to_numpy()
    ecg_shade.draw_shade(axes, shades, (*axes.get_xlim(), *axes.get_ylim()))
    axes.axvline(0, color=style.LIGHT_GREY, linewidth=0.5, zorder=1.5)
    axes.fill_between(time, rows["p10"], rows["p90"], color=style.GREY, alpha=0.25, linewidth=0, zorder=2)
    axes.plot(time, rows["mean_without"], color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2.5)
    axes.plot(time, rows["mean"], color=style.BLACK, linewidth=1.0, zorder=3)


def _write_heading(figure: Figure, found: BeatMap, notice: str) -> None:
    (positives, negatives), (called, not_called) = found.counts, (len(found.beats), len(found.others))
    method = f"by {found.method.replace('_', ' ')}"
    lines: tuple[tuple[str, dict[str, Any]], ...] = (
        (f"{found.label}: the mean beat, and what speaks for the label", {"fontsize": 10, "fontweight": "bold"}),
        (
            f"{found.data}: {called} of {positives} recordings with it, where it is found and a beat whole; {method}",
            {},
        ),
        (f"dashed: {not_called} of {negatives} without it, where it is not found; shares in per cent", {}),
    )
    for place, (line, look) in enumerate(lines):
        figure.text(0.02, 1 - (3 + 5 * place) / _HEIGHT, style.literal(line), va="top", **look)
    figure.text(0.02, 1.5 / _HEIGHT, style.literal(notice, 130), fontsize=6.5, color=style.GREY, va="bottom")
    ecg_shade.draw_shares(figure, found.shares, found.leads, 17, _TABLE)


def _draw_legend(figure: Figure, found: BeatMap, darkest: float) -> None:
    dashed = Line2D([], [], color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), label="mean without the label")
    handles = [
        Line2D([], [], color=style.BLACK, linewidth=1.0, label="mean"),
        Patch(color=style.GREY, alpha=0.25, linewidth=0, label=f"{_SPREAD[0]} to {_SPREAD[1]} % of recordings"),
        *([dashed] if len(found.others) else []),
        *ecg_shade.create_legend(darkest, found.method),
    ]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 7 / _HEIGHT), ncols=3)
