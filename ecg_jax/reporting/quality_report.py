"""The quality report of a prepared store: one self-contained HTML file."""

import dataclasses
from collections.abc import Mapping, Sequence

import markupsafe
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ecg_jax import files
from ecg_jax.reporting import cells, ecg_strip, figures, html, style  # first: style chooses matplotlib's backend

import matplotlib.pyplot as plt  # isort: skip

_SHOWN = {"left_out": 100, "notes": 50, "repeats": 50, "repeated_ids": 6, "labels": 40}
_TITLES = {
    "duration": "Duration (s)",
    "sampling_rate": "Sampling rate of the files (Hz)",
    "heart_rate": "Heart rate (per minute)",
    "lead_II_range": "Range of lead II ({unit})",
    "noise": "Noise of the worst lead ({unit})",
    "wander": "Baseline wander of the worst lead ({unit})",
    "age": "Age (years)",
}
_FEW = 8  # different values that are drawn as one bar each
_TAIL = 1.0  # per cent at either end; values far beyond them are left out of a histogram


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the report."""

    dataset: str  # name of the data set
    source: str  # where it was read
    command: str  # that prepares such a store
    date: str  # of the report
    contract: Mapping[str, object]  # the store's leads, sampling rate and filters
    checks: str  # what happened when physics contradicted a file
    normalized: bool  # whether recordings are in standard deviations
    left_out: pd.DataFrame  # `recording`, `reason`, `detail`; one row per recording
    left_out_kinds: Mapping[str, pd.DataFrame]  # by reason, `message` (the first of its kind) and `recordings`
    cohort: pd.DataFrame  # one row for `all` and each split; columns as the rows of Table 1 need them
    labels: pd.DataFrame  # `label`, and for `all` and each split `GROUP_known` and `GROUP_positive`
    flags: pd.DataFrame  # `flag`, `recordings`, `meaning`; the last row is for recordings without any
    examples: Mapping[str, Sequence[ecg_strip.Strip]]  # strips by flag; those of `""` have none
    measurements: Mapping[str, np.ndarray]  # `[N]` values by name, see `_TITLES`; NaN for unknown
    scale: str  # what the size of lead II indicates about the unit
    notes: pd.DataFrame  # `message` (the first of its kind) and `recordings`
    remarks: Sequence[str]  # lines from the data set itself
    repeats: pd.DataFrame  # `recordings` (ids), `patients` (how many), `splits` (names); one row per content
    split_patients: int | None  # number of patients in several splits; None where it is unknown


def write(path: str, report: Report) -> None:
    """Writes the page, whole or not at all; all text is escaped."""
    unit = "SD" if report.normalized else "mV"
    page = html.render(
        "quality_report.html",
        report=report,
        stored=int(report.cohort.loc["all", "recordings"]),
        groups=list(report.cohort.index),
        cohort=_describe_cohort(report.cohort),
        unit=unit,
        distributions=[
            describe_distribution(title.format(unit=unit), report.measurements[name])
            for name, title in _TITLES.items()
            if name in report.measurements
        ],
        strips={
            flag: [(strip.title, markupsafe.Markup(ecg_strip.draw_strip(strip))) for strip in strips]
            for flag, strips in report.examples.items()
        },
        shown=_SHOWN,
    )
    files.write_text(path, page)


def _describe_cohort(cohort: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Rows of Table 1: what, and its value for every group; rows without any value are left out."""

    def counts(name: str, of: str | None = None) -> list[str]:
        wholes = cohort[of] if of else [np.nan] * len(cohort)
        return [_format_part(value, whole) for value, whole in zip(cohort[name], wholes, strict=True)]

    def quartiles(name: str) -> list[str]:
        triples = zip(*(cohort[f"{name}_{percent}"] for percent in (50, 25, 75)), strict=True)
        return [
            cells.DASH
            if np.isnan(middle)
            else f"{html.format_number(middle)} ({html.format_number(low)}–{html.format_number(high)})"
            for middle, low, high in triples
        ]

    rows = [
        ("Recordings", counts("recordings")),
        ("Patients", counts("patients")),
        ("Patients with several recordings", counts("repeated", "patients")),
        ("Most recordings of one patient", counts("most")),
        ("Recordings without a named patient", counts("no_patient", "recordings")),
        ("Female", counts("female", "recordings")),
        ("Male", counts("male", "recordings")),
        ("Sex unknown", counts("no_sex", "recordings")),
        ("Age in years, median (quartiles)", quartiles("age")),
        ("Age unknown", counts("no_age", "recordings")),
        ("Heart rate per minute, median (quartiles)", quartiles("heart_rate")),
        ("Duration in seconds, median (quartiles)", quartiles("duration")),
    ]
    return [(name, values) for name, values in rows if any(value != cells.DASH for value in values)]


def _format_part(value: float, whole: float) -> str:
    if np.isnan(value):
        return cells.DASH
    return html.format_count(value) + (f" ({html.format_percent(value / whole)})" if value and whole > 0 else "")


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A quantity, drawn and summarized."""

    title: str  # its name, and unit in brackets
    figure: str  # a data URI of an SVG
    known: int  # number of recordings with a known value
    quantiles: tuple[float, ...]  # smallest, 5 %, 25 %, median, 75 %, 95 %, largest; empty without a known value
    outside: int  # number of recordings beyond the histogram's ends


def describe_distribution(title: str, values: np.ndarray) -> Distribution:
    """Draws and summarizes a quantity `[N]`; what is not finite is unknown."""
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


def _draw_bars(axes: Axes, known: np.ndarray, different: np.ndarray) -> int:
    counts = (known[:, None] == different).sum(axis=0)
    bars = axes.bar([f"{value:.4g}" for value in different], counts, width=0.6, color=style.BLUE)
    axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=7)
    room = 0.5 + max(0, 4 - len(different)) / 2
    axes.set_xlim(-room, len(different) - 1 + room)
    return 0


def _draw_bins(axes: Axes, known: np.ndarray, quantiles: tuple[float, ...]) -> int:
    """Draws equal bins over all but the ends of long tails; returns the number of values there."""
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
