"""A recording as a cardiologist reads it: twelve leads and a rhythm strip on ECG paper, and the findings.

A4, landscape: printed at its size, 25 mm are a second and 10 mm a millivolt.
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_jax import files
from ecg_jax.recording import LEADS, Recording
from ecg_jax.reporting import ecg_shade, style
from ecg_jax.reporting.ecg_strip import MM_PER_DEVIATION, MM_PER_MILLIVOLT, MM_PER_SECOND

_WIDTH, _HEIGHT = 297.0, 210.0  # mm
_LEFT, _BOTTOM, _PAPER_WIDTH = 20.0, 12.0, 260.0
_PAPER_HEIGHT, _LOWER_HEIGHT = 150.0, 135.0  # the second below a table of shares
_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
SECONDS, _PULSE = 10.0, 5.0  # of the page; mm of the calibration pulse
_LONGEST_NAME, _LONGEST_LABEL = 200, 30  # bytes of a page's name, characters of a label in it
_LONGEST_FINDING = 12  # characters
_ODD = re.compile(r"[^A-Za-z0-9_.+-]+")  # in a label
_REACH = 0.75  # of a lane, beyond which a trace is cut off
_MARK = 1.5  # mm from the foot of the paper to the marks of waves
_MEASUREMENTS = (
    ("heart_rate", "heart rate", " per minute"),
    ("pr", "PR", " ms"),
    ("qrs", "QRS", " ms"),
    ("qt", "QT", " ms"),
    ("qtc", "QTc", " ms"),
    ("axis", "axis", "°"),
)
_FINE, _COARSE, _TRACE = "#f6d0d0", "#e79a9a", "#111111"
_FINE_GREY, _COARSE_GREY = "#ececec", "#d0d0d0"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One diagnosis: its calibrated probability, and the threshold of it, NaN where there is none."""

    label: str
    probability: float
    threshold: float


@style.styled
def draw(
    recording: Recording,
    findings: Sequence[Finding],
    path: str,
    *,
    measurements: Mapping[str, float] | None = None,
    waves: Sequence[Mapping[str, Any]] = (),
    remarks: str = "",
    notice: str = "",
    start: float = 0.0,
    explanation: ecg_shade.Explanation | None = None,
) -> None:
    """Draws ten seconds of a recording: 3 x 4 leads of 2.5 s each, below them lead II.

    Where lead II was not recorded, or is not explained, it is the first that was or is.

    Args:
        recording: Any; missing leads stay blank, invalid samples are left out.
        findings: Written above the paper.
        path: Of the file; its suffix is the format: png, pdf or svg.
        measurements: Written above the paper: `heart_rate` per minute, `pr`, `qrs`, `qt` and `qtc` in milliseconds,
            `axis` in degrees; NaN for unknown.
        waves: With `wave` (its name) and `onset` (seconds into the recording), which is marked on the lowest strip.
        remarks: On quality.
        notice: What a reader of the page must know.
        start: Seconds into the recording.
        explanation: Drawn as a shade behind the traces, on grey paper, with a table of shares above it.
    """
    figure = plt.figure(figsize=(_WIDTH / 25.4, _HEIGHT / 25.4))
    paper_height = _PAPER_HEIGHT if explanation is None else _LOWER_HEIGHT
    try:
        axes = figure.add_axes(
            (_LEFT / _WIDTH, _BOTTOM / _HEIGHT, _PAPER_WIDTH / _WIDTH, paper_height / _HEIGHT),
            xlim=(-_PULSE - 5, _PAPER_WIDTH - _PULSE - 5),
            ylim=(0, paper_height),
        )
        _draw_paper(axes, *((_FINE, _COARSE) if explanation is None else (_FINE_GREY, _COARSE_GREY)))
        present = [lead for lead in LEADS if lead in recording.leads]
        strips = [
            _Strip(lead, row, column * SECONDS / 4, SECONDS / 4)
            for column, names in enumerate(_COLUMNS)
            for row, lead in enumerate(names)
        ]
        seen = [lead for lead in present if explanation is None or lead in explanation.leads] or present
        strips += [_Strip("II" if "II" in seen else lead, 3, 0.0, SECONDS) for lead in seen[:1]]
        if explanation is not None:
            shades, darkest = ecg_shade.smooth(explanation.values, explanation.sampling_rate)
            _write_explanation(figure, explanation, darkest)
        for strip in strips:
            _draw_strip(axes, recording, strip, round(start * recording.sampling_rate))
            if explanation is not None:
                _draw_shade(axes, explanation, shades, strip, start)
        _mark_onsets(axes, waves, start)
        duration = len(recording.signal) / recording.sampling_rate
        facts = f"{duration:.1f} s at {recording.sampling_rate:g} Hz"
        facts = "; ".join((*describe(measurements), facts)) if measurements else facts
        facts += f"; shown from {start:.0f} s" if start else ""
        _write_heading(figure, recording, facts, remarks, notice)
        _write_findings(figure, findings)
        with files.replacing(path, "wb") as file:
            figure.savefig(file, dpi=200, format=os.path.splitext(path)[1][1:])
    finally:
        plt.close(figure)


@dataclasses.dataclass(frozen=True)
class _Strip:
    """One lead's part of the page: `seconds` from `begin`, both of the page; the calibration pulse before the first."""

    lead: str
    row: int
    begin: float
    seconds: float


def _draw_paper(axes: Axes, fine: str, coarse: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for step, colour, width in ((1, fine, 0.3), (5, coarse, 0.5)):
        axes.vlines(np.arange(left, right + step, step), bottom, top, colour, linewidth=width, zorder=0)
        axes.hlines(np.arange(bottom, top + step, step), left, right, colour, linewidth=width, zorder=0)


def _draw_strip(axes: Axes, recording: Recording, strip: _Strip, first: int) -> None:
    """Draws a strip of a page that begins at the sample `first`."""
    lane, baseline = _find_lane(axes, strip.row)
    x = strip.begin * MM_PER_SECOND
    axes.text(x + 1, baseline + 0.3 * lane, strip.lead, fontsize=9, fontweight="bold", zorder=3)
    if strip.begin == 0:
        pulse = baseline + np.array([0, 0, MM_PER_MILLIVOLT, MM_PER_MILLIVOLT, 0, 0])
        axes.plot(np.array([-8, -7, -7, -2, -2, -1]), pulse, color=_TRACE, linewidth=0.7)
    else:
        axes.plot([x, x], [baseline - 4, baseline + 4], color=_TRACE, linewidth=0.7)
    if strip.lead not in recording.leads:
        axes.text(x + 8, baseline, "not recorded", fontsize=8, color=style.GREY)
        return
    rate = recording.sampling_rate
    span = slice(first + round(strip.begin * rate), first + round((strip.begin + strip.seconds) * rate) + 1)
    column = recording.leads.index(strip.lead)
    valid = recording.valid[span, column]
    if not valid.any():
        axes.text(x + 8, baseline, "nothing valid", fontsize=8, color=style.GREY)
        return
    signal = np.where(valid, recording.signal[span, column], np.nan)
    height = (signal - np.nanmedian(signal)) * (MM_PER_DEVIATION if recording.normalized else MM_PER_MILLIVOLT)
    time = x + np.arange(len(height)) / rate * MM_PER_SECOND
    axes.plot(time, baseline + np.clip(height, -_REACH * lane, _REACH * lane), color=_TRACE, linewidth=0.7, zorder=2)


def _find_lane(axes: Axes, row: int) -> tuple[float, float]:
    """Height of a row of strips, and where its baseline is."""
    lane = axes.get_ylim()[1] / 4
    return lane, (3.5 - row) * lane


def _draw_shade(
    axes: Axes, explanation: ecg_shade.Explanation, shades: np.ndarray, strip: _Strip, start: float
) -> None:
    """Draws shades `[T, L]` of one lead behind a strip of a page that begins at `start` seconds."""
    if strip.lead not in explanation.leads:
        return
    rate, lane, baseline = explanation.sampling_rate, *_find_lane(axes, strip.row)
    time = explanation.start - start + np.arange(len(shades)) / rate
    inside = (time >= strip.begin) & (time < strip.begin + strip.seconds)
    if inside.any():
        left, right = (MM_PER_SECOND * (edge - 0.5 / rate) for edge in (time[inside][0], time[inside][-1] + 1 / rate))
        values = shades[inside, explanation.leads.index(strip.lead)]
        ecg_shade.draw_shade(axes, values, (left, right, baseline - lane / 2, baseline + lane / 2))


def _mark_onsets(axes: Axes, waves: Sequence[Mapping[str, Any]], start: float) -> None:
    """A line from the lowest strip to a name below it where each wave begins; the page begins at `start` seconds."""
    for wave in waves:
        at = wave["onset"] - start
        if 0 <= at <= SECONDS:
            x = at * MM_PER_SECOND
            axes.plot([x, x], [_MARK, _MARK + 3.5], color=style.BLUE, linewidth=0.7, zorder=2)
            axes.plot([x, x], [_MARK + 3.5, axes.get_ylim()[1] / 8], color=style.BLUE, linewidth=0.3, zorder=1)
            axes.text(x + 0.4, _MARK, wave["wave"], fontsize=5, color=style.BLUE, zorder=3)


def place(start: float, duration: float) -> float:
    """Where a page begins that shows what begins at `start`: earlier, where the recording would end within it."""
    return max(min(start, duration - SECONDS), 0.0)


def describe(measurements: Mapping[str, float]) -> list[str]:
    """Each measurement with its unit, or `unknown`; see `draw`."""
    return [
        f"{name} unknown" if np.isnan(measurements[key]) else f"{name} {measurements[key]:.0f}{unit}"
        for key, name, unit in _MEASUREMENTS
    ]


def _write(figure: Figure, x: float, y: float, text: str, **look: Any) -> None:
    """Writes at millimetres from the left and from the top of the page."""
    figure.text(x / _WIDTH, 1 - y / _HEIGHT, text, va="top", **{"fontsize": 9, **look})


def _write_heading(figure: Figure, recording: Recording, facts: str, remarks: str, notice: str) -> None:
    name = recording.id if len(recording.id) <= 70 else f"...{recording.id[-67:]}"
    remarks = style.literal(remarks or "nothing noticed about its quality", 150)
    unit = "2.5 mm per standard deviation" if recording.normalized else "10 mm/mV"
    _write(figure, _LEFT, 7, style.literal(name), fontsize=11, fontweight="bold")
    _write(figure, _LEFT, 13, facts)
    _write(figure, _LEFT, 18.5, remarks, color=style.GREY, fontsize=8)
    _write(figure, _LEFT, _HEIGHT - 9, f"25 mm/s, {unit}", fontsize=8)
    _write(figure, _LEFT + 45, _HEIGHT - 9, style.literal(notice), fontsize=8, color=style.ORANGE)


def _write_explanation(figure: Figure, explanation: ecg_shade.Explanation, darkest: float) -> None:
    """What the shade means, and its shares."""
    _write(figure, _LEFT, 43, style.literal(ecg_shade.create_title(explanation)), fontweight="bold")
    found = "table in per cent" if explanation.shares.any() else "nothing to attribute"
    method = f"by {explanation.method.replace('_', ' ')}; {found}"
    caption = "; ".join(filter(None, (method, ecg_shade.describe_missing(explanation))))
    _write(figure, _LEFT, 47.5, caption, fontsize=7)
    handles = ecg_shade.create_legend(darkest * explanation.sampling_rate, explanation.method, explanation.kind)
    place = ((_LEFT - 2) / _WIDTH, 1 - 50 / _HEIGHT)
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=place, borderaxespad=0)
    _write(figure, _LEFT + 45, _HEIGHT - 5.5, ecg_shade.NOTICE, fontsize=8, color=style.ORANGE)
    ecg_shade.draw_shares(figure, explanation.shares, explanation.leads, 110, 42)


def _write_findings(figure: Figure, findings: Sequence[Finding]) -> None:
    for place, found in enumerate(findings):
        x = _LEFT + place * _PAPER_WIDTH / max(len(findings), 6)
        is_positive = found.probability >= found.threshold
        look = {"fontweight": "bold", "color": style.ORANGE} if is_positive else {"color": style.BLACK}
        bound = "" if np.isnan(found.threshold) else f"(from {found.threshold:.2f})"
        _write(figure, x, 30, style.literal(f"{_shorten(found.label)} {found.probability:.2f}"), **look)
        _write(figure, x, 35, bound, fontsize=7, color=style.GREY)


def _shorten(label: str) -> str:
    return label if len(label) <= _LONGEST_FINDING else f"{label[: _LONGEST_FINDING - 1]}…"


def find_name(recording: str, taken: set[str]) -> str:
    """A file name without suffix for a recording's page, not one of `taken`, to which it is added.

    It is shortened so that a label, a number and a suffix fit the 255 bytes of a name.
    """
    base = os.path.basename(recording)
    stem = base.replace(":", "-") if ":" in base else os.path.splitext(base)[0]  # FILE:EXAM is one of many
    return _number(os.fsencode(stem)[:_LONGEST_NAME].decode(errors="replace"), taken)


def find_label_name(name: str, label: str, taken: set[str]) -> str:
    """The same for a further page of the recording whose page has this name, about a label."""
    return _number(f"{name}_{_ODD.sub('-', label)[:_LONGEST_LABEL]}", taken)


def _number(stem: str, taken: set[str]) -> str:
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name)
    return name
