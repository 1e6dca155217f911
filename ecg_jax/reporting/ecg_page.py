"""A recording as a cardiologist reads it: twelve leads and a rhythm strip on ECG paper, and what was found in it.

A4, landscape: printed at its size, 25 mm are a second and 10 mm a millivolt.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from ecg_jax import files
from ecg_jax.recording import LEADS, Recording
from ecg_jax.reporting import style
from ecg_jax.reporting.ecg_paper import MM_PER_DEVIATION, MM_PER_MILLIVOLT, MM_PER_SECOND

_WIDTH, _HEIGHT = 297.0, 210.0  # mm
_LEFT, _BOTTOM, _PAPER_WIDTH, _PAPER_HEIGHT = 20.0, 12.0, 260.0, 150.0
_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_SECONDS, _PULSE = 10.0, 5.0  # of the page; mm of the calibration pulse
_LANE = _PAPER_HEIGHT / 4
_LONGEST_NAME = 200  # bytes of a page's name
_REACH = 0.75 * _LANE  # mm beyond which a trace is cut off
_FINE, _COARSE, _TRACE = "#f6d0d0", "#e79a9a", "#111111"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One diagnosis.

    Attributes:
        label: Its name.
        probability: Calibrated.
        threshold: Of the probability; NaN where there is none.
    """

    label: str
    probability: float
    threshold: float


@style.styled
def draw(
    recording: Recording,
    findings: Sequence[Finding],
    path: str,
    *,
    heart_rate: float = float("nan"),
    remarks: str = "",
    notice: str = "",
    start: float = 0.0,
) -> None:
    """Draws ten seconds of a recording: 3 x 4 leads of 2.5 s each, below them lead II (or the first there is).

    Args:
        recording: Any; a lead that it lacks stays blank, what is invalid is left out.
        findings: What stands above the paper.
        path: Of the file; its suffix is the format: png, pdf or svg.
        heart_rate: Beats per minute; NaN for unknown.
        remarks: On quality.
        notice: What whoever reads the page must know.
        start: Seconds into the recording.
    """
    figure = plt.figure(figsize=(_WIDTH / 25.4, _HEIGHT / 25.4))
    try:
        _fill(figure, recording, findings, heart_rate, remarks, notice, start)
        with files.replacing(path, "wb") as file:
            figure.savefig(file, dpi=200, format=os.path.splitext(path)[1][1:])
    finally:
        plt.close(figure)


def _fill(
    figure: plt.Figure,
    recording: Recording,
    findings: Sequence[Finding],
    heart_rate: float,
    remarks: str,
    notice: str,
    start: float,
) -> None:
    axes = figure.add_axes(
        (_LEFT / _WIDTH, _BOTTOM / _HEIGHT, _PAPER_WIDTH / _WIDTH, _PAPER_HEIGHT / _HEIGHT),
        xlim=(-_PULSE - 5, _PAPER_WIDTH - _PULSE - 5),
        ylim=(0, _PAPER_HEIGHT),
    )
    _draw_paper(axes)
    scale = MM_PER_DEVIATION if recording.normalized else MM_PER_MILLIVOLT
    first = round(start * recording.sampling_rate)
    for column, names in enumerate(_COLUMNS):
        for row, lead in enumerate(names):
            _draw_lead(axes, recording, lead, row, first, column * _SECONDS / 4, _SECONDS / 4, scale)
    present = [lead for lead in LEADS if lead in recording.leads]
    if present:
        _draw_lead(axes, recording, "II" if "II" in present else present[0], 3, first, 0.0, _SECONDS, scale)
    _write_heading(figure, recording, findings, heart_rate, remarks, notice, start)


def _draw_paper(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for step, colour, width in ((1, _FINE, 0.3), (5, _COARSE, 0.5)):
        axes.vlines(np.arange(left, right + step, step), bottom, top, colour, linewidth=width, zorder=0)
        axes.hlines(np.arange(bottom, top + step, step), left, right, colour, linewidth=width, zorder=0)


def _draw_lead(
    axes: Axes,
    recording: Recording,
    lead: str,
    row: int,
    first: int,
    begin: float,
    seconds: float,
    scale: float,
) -> None:
    """One lead's part of the page: `seconds` from `begin`, both of the page; the calibration pulse before the first."""
    baseline = _PAPER_HEIGHT - (row + 0.5) * _LANE
    x = begin * MM_PER_SECOND
    axes.text(x + 1, baseline + 0.3 * _LANE, lead, fontsize=9, fontweight="bold", zorder=3)
    if begin == 0:
        pulse = baseline + np.array([0, 0, MM_PER_MILLIVOLT, MM_PER_MILLIVOLT, 0, 0])
        axes.plot(np.array([-8, -7, -7, -2, -2, -1]), pulse, color=_TRACE, linewidth=0.7)
    else:
        axes.plot([x, x], [baseline - 4, baseline + 4], color=_TRACE, linewidth=0.7)
    if lead not in recording.leads:
        axes.text(x + 8, baseline, "not recorded", fontsize=8, color=style.GREY)
        return
    rate = recording.sampling_rate
    span = slice(first + round(begin * rate), first + round((begin + seconds) * rate) + 1)
    column = recording.leads.index(lead)
    valid = recording.valid[span, column]
    if not valid.any():
        axes.text(x + 8, baseline, "nothing valid", fontsize=8, color=style.GREY)
        return
    signal = np.where(valid, recording.signal[span, column], np.nan)
    height = (signal - np.nanmedian(signal)) * scale
    time = x + np.arange(len(height)) / rate * MM_PER_SECOND
    axes.plot(time, baseline + np.clip(height, -_REACH, _REACH), color=_TRACE, linewidth=0.7, zorder=2)


def _write_heading(
    figure: plt.Figure,
    recording: Recording,
    findings: Sequence[Finding],
    heart_rate: float,
    remarks: str,
    notice: str,
    start: float,
) -> None:
    def write(x: float, y: float, text: str, **look: Any) -> None:
        figure.text(x / _WIDTH, 1 - y / _HEIGHT, text, va="top", **{"fontsize": 9, **look})

    name = recording.id if len(recording.id) <= 70 else f"...{recording.id[-67:]}"
    duration = len(recording.signal) / recording.sampling_rate
    rate = "unknown" if np.isnan(heart_rate) else f"{heart_rate:.0f} per minute"
    facts = f"heart rate {rate}; {duration:.1f} s at {recording.sampling_rate:g} Hz"
    if start:
        facts += f"; shown from {start:.0f} s"
    write(_LEFT, 7, style.literal(name), fontsize=11, fontweight="bold")
    write(_LEFT, 13, facts)
    write(_LEFT, 18.5, style.literal(remarks or "nothing noticed about its quality", 150), color=style.GREY, fontsize=8)
    for place, found in enumerate(findings):
        is_positive = found.probability >= found.threshold
        x = _LEFT + place * _PAPER_WIDTH / max(len(findings), 6)
        look = {"fontweight": "bold", "color": style.ORANGE} if is_positive else {"color": style.BLACK}
        bound = "" if np.isnan(found.threshold) else f"  (from {found.threshold:.2f})"
        write(x, 30, style.literal(f"{found.label} {found.probability:.2f}"), **look)
        write(x, 35, bound.strip(), fontsize=7, color=style.GREY)
    unit = "2.5 mm per standard deviation" if recording.normalized else "10 mm/mV"
    write(_LEFT, _HEIGHT - 9, f"25 mm/s, {unit}", fontsize=8)
    write(_LEFT + 45, _HEIGHT - 9, style.literal(notice), fontsize=8, color=style.ORANGE)


def find_name(recording: str, taken: set[str]) -> str:
    """A file name without suffix for a recording's page, other than those in `taken`, to which it is added.

    It is cut off where no room would be left for a number and a suffix in the 255 bytes that names have.
    """
    base = os.path.basename(recording)
    stem = base.replace(":", "-") if ":" in base else os.path.splitext(base)[0]  # FILE:EXAM is one of many
    stem = os.fsencode(stem)[:_LONGEST_NAME].decode(errors="replace")
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name
