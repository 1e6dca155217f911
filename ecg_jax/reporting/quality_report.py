"""The quality report of a prepared store: one HTML file that needs no other, and no network."""

import dataclasses
from collections.abc import Mapping, Sequence

import markupsafe
import numpy as np
import pandas as pd

from ecg_jax import files
from ecg_jax.reporting import distributions, ecg_paper, html

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
_DASH = "–"


@dataclasses.dataclass(frozen=True)
class Report:
    """What the report says.

    Attributes:
        dataset: Name of the data set.
        source: Where it was read.
        command: That prepares such a store.
        date: Of the report.
        contract: The store's leads, sampling rate and filters.
        checks: What happened when physics contradicted a file.
        normalized: Whether recordings are in standard deviations.
        left_out: `recording`, `reason`, `detail`; one row per recording.
        left_out_kinds: By reason, `message` (the first of its kind) and `recordings`.
        cohort: One row for `all` and each split; columns as the rows of Table 1 need them.
        labels: `label`, and for `all` and each split `GROUP_known` and `GROUP_positive`.
        flags: `flag`, `recordings`, `meaning`; the last row is for recordings without any.
        examples: Strips by flag; those of `""` have none.
        measurements: `[N]` values by name, see `_TITLES`; NaN for unknown.
        scale: What the size of lead II says of the unit.
        notes: `message` (the first of its kind) and `recordings`.
        remarks: Lines that the data set itself tells.
        repeats: `recordings` (ids), `patients` (how many), `splits` (names); one row per content.
        split_patients: Number of patients who stand in several splits; None where nobody can tell.
    """

    dataset: str
    source: str
    command: str
    date: str
    contract: Mapping[str, object]
    checks: str
    normalized: bool
    left_out: pd.DataFrame
    left_out_kinds: Mapping[str, pd.DataFrame]
    cohort: pd.DataFrame
    labels: pd.DataFrame
    flags: pd.DataFrame
    examples: Mapping[str, Sequence[ecg_paper.Strip]]
    measurements: Mapping[str, np.ndarray]
    scale: str
    notes: pd.DataFrame
    remarks: Sequence[str]
    repeats: pd.DataFrame
    split_patients: int | None


def write(path: str, report: Report) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: Of the HTML file.
        report: What it says; text may hold anything, it is escaped.
    """
    page = html.render(
        "quality_report.html",
        report=report,
        stored=int(report.cohort.loc["all", "recordings"]),
        groups=list(report.cohort.index),
        cohort=_describe_cohort(report.cohort),
        unit="SD" if report.normalized else "mV",
        distributions=_describe_distributions(report),
        strips={
            flag: [(strip.title, markupsafe.Markup(ecg_paper.draw_strip(strip))) for strip in strips]
            for flag, strips in report.examples.items()
        },
        shown=_SHOWN,
    )
    files.write_text(path, page)


def _describe_distributions(report: Report) -> list[distributions.Distribution]:
    unit = "SD" if report.normalized else "mV"
    known = {name: report.measurements[name] for name in _TITLES if name in report.measurements}
    return [distributions.describe(_TITLES[name].format(unit=unit), values) for name, values in known.items()]


def _describe_cohort(cohort: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Rows of Table 1: what, and its value for every group; what nobody knows is left out."""

    def counts(name: str, of: str | None = None) -> list[str]:
        wholes = cohort[of] if of else [np.nan] * len(cohort)
        return [_format_part(value, whole) for value, whole in zip(cohort[name], wholes, strict=True)]

    def quartiles(name: str) -> list[str]:
        triples = zip(*(cohort[f"{name}_{percent}"] for percent in (50, 25, 75)), strict=True)
        return [
            _DASH
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
    return [(name, cells) for name, cells in rows if any(cell != _DASH for cell in cells)]


def _format_part(value: float, whole: float) -> str:
    if np.isnan(value):
        return _DASH
    return html.format_count(value) + (f" ({html.format_percent(value / whole)})" if value and whole > 0 else "")
