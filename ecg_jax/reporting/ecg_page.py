"""A recording as a cardiologist reads it: twelve leads and a rhythm strip on ECG paper, and the findings.

A4, landscape: printed at its size, 25 mm are a second and 10 mm a millivolt.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
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
_DIGITS = 9  # of a probability at most: those of float32
_LONGEST_FINDING = 12  # characters
_LETTER, _LETTER_HEIGHT = 2.1, 2.5  # mm, of a lead's name
_NAME_ABOVE, _NAME_BELOW = (0.3, 0.38, 0.24, 0.18), (-0.25, -0.33, -0.41)  # lanes from the baseline to a lead's name
_NAME_STEPS = range(1, 22, 2)  # mm to it from the beginning of its strip
_REACH = 0.75  # of a lane, beyond which a trace is cut off
_MARK = 1.5  # mm from the foot of the paper to the marks of waves
_MARK_LETTER = 1.3  # mm, of a wave's name
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
    """One diagnosis: its calibrated probability, and the threshold of it, NaN where there is none.

    `is_chosen` is False of a default threshold; `is_normal` is True of a label that says that nothing is wrong.
    """

    label: str
    probability: float
    threshold: float
    is_chosen: bool = True
    is_normal: bool = False

    @property
    def is_called(self) -> bool:
        """Whether the probability is at or above the threshold."""
        return self.probability >= self.threshold

    def describe(self, digits: int = 2, whose: str = "") -> tuple[str, str]:
        """The probability, and on which side of the threshold it is; the latter is empty where there is none.

        Both have `digits` decimals, or as many more as make a probability below its threshold look so.
        """
        if np.isnan(self.threshold):
            return f"{self.probability:.{digits}f}", ""
        while not self.is_called and digits < _DIGITS and self._round(digits)[0] == self._round(digits)[1]:
            digits += 1
        probability, threshold = self._round(digits)
        side = "at or above" if self.is_called else "below"
        return probability, f"{side} {whose}{threshold}{'' if self.is_chosen else ', not chosen'}"

    def _round(self, digits: int) -> tuple[str, str]:
        return f"{self.probability:.{digits}f}", f"{self.threshold:.{digits}f}"


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
            finding = next((each for each in findings if each.label == explanation.label), None)
            _write_explanation(figure, explanation, darkest, finding)
        traces = [_draw_strip(axes, recording, strip, round(start * recording.sampling_rate)) for strip in strips]
        for strip in strips:
            _write_lead(axes, strip, traces)
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


def _draw_strip(axes: Axes, recording: Recording, strip: _Strip, first: int) -> np.ndarray:
    """Draws a strip of a page that begins at the sample `first`; returns its trace, `[2, n]` in mm, x and y."""
    lane, baseline = _find_lane(axes, strip.row)
    x = strip.begin * MM_PER_SECOND
    if strip.begin == 0:
        pulse = baseline + np.array([0, 0, MM_PER_MILLIVOLT, MM_PER_MILLIVOLT, 0, 0])
        axes.plot(np.array([-8, -7, -7, -2, -2, -1]), pulse, color=_TRACE, linewidth=0.7)
    else:
        axes.plot([x, x], [baseline - 4, baseline + 4], color=_TRACE, linewidth=0.7)
    if strip.lead not in recording.leads:
        axes.text(x + 8, baseline, "not recorded", fontsize=8, color=style.GREY)
        return np.empty((2, 0))
    rate = recording.sampling_rate
    span = slice(first + round(strip.begin * rate), first + round((strip.begin + strip.seconds) * rate) + 1)
    column = recording.leads.index(strip.lead)
    valid = recording.valid[span, column]
    if not valid.any():
        axes.text(x + 8, baseline, "nothing valid", fontsize=8, color=style.GREY)
        return np.empty((2, 0))
    signal = np.where(valid, recording.signal[span, column], np.nan)
    height = (signal - np.nanmedian(signal)) * (MM_PER_DEVIATION if recording.normalized else MM_PER_MILLIVOLT)
    time = x + np.arange(len(height)) / rate * MM_PER_SECOND
    trace = np.stack([time, baseline + np.clip(height, -_REACH * lane, _REACH * lane)])
    axes.plot(*trace, color=_TRACE, linewidth=0.7, zorder=2)
    return trace


def _write_lead(axes: Axes, strip: _Strip, traces: Sequence[np.ndarray]) -> None:
    """Writes a lead's name into its lane, near its beginning where no trace passes, if there is such a place."""
    lane, baseline = _find_lane(axes, strip.row)
    places = [
        (strip.begin * MM_PER_SECOND + step, baseline + height * lane)
        for heights in (_NAME_ABOVE, _NAME_BELOW)
        for step in _NAME_STEPS
        for height in heights
    ]
    width = _LETTER * len(strip.lead)
    x, y = next((place for place in places if not _crosses(traces, *place, width)), places[0])
    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    axes.text(x, y, strip.lead, fontsize=9, fontweight="bold", zorder=3, path_effects=halo)


def _crosses(traces: Sequence[np.ndarray], x: float, y: float, width: float) -> bool:
    """Whether a trace, with its steps between samples, passes a name with the lower left corner (x, y), in mm."""
    for time, level in traces:
        near = level[(time > x - 0.7) & (time < x + width + 0.7)]
        low, high = np.fmin(near[:-1], near[1:]), np.fmax(near[:-1], near[1:])
        if ((low < y + _LETTER_HEIGHT + 0.5) & (high > y - 0.5)).any():
            return True
    return False


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
    """A line from the lowest strip to a name below it where each wave begins; the page begins at `start` seconds.

    A name that would lie on that of the wave before is a row higher.
    """
    end, is_high = -np.inf, False  # of the name before
    for wave in sorted(waves, key=lambda wave: wave["onset"]):
        at = wave["onset"] - start
        if 0 <= at <= SECONDS:
            x = at * MM_PER_SECOND
            axes.plot([x, x], [_MARK, _MARK + 3.5], color=style.BLUE, linewidth=0.7, zorder=2)
            axes.plot([x, x], [_MARK + 3.5, axes.get_ylim()[1] / 8], color=style.BLUE, linewidth=0.3, zorder=1)
            is_high = x < end and not is_high
            end = x + 0.8 + _MARK_LETTER * len(wave["wave"])
            axes.text(
                x + 0.4, _MARK + 1.9 * is_high, wave["wave"], fontsize=5, color=style.BLUE, zorder=3, clip_on=True
            )


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


def _write_explanation(
    figure: Figure, explanation: ecg_shade.Explanation, darkest: float, finding: Finding | None
) -> None:
    """What the shade means, whether the label is called at all, and the shares."""
    _write(figure, _LEFT, 40, style.literal(ecg_shade.create_title(explanation)), fontweight="bold")
    probability, side = finding.describe(3, "its threshold ") if finding is not None else ("", "")
    if finding is not None and side:
        called = "called" if finding.is_called else "not called"
        _write(figure, _LEFT, 44, f"{called}: {probability} is {side}", fontsize=8)
    found = "table in per cent" if explanation.shares.any() else "nothing to attribute"
    method = f"by {explanation.method.replace('_', ' ')}; {found}"
    caption = "; ".join(filter(None, (method, ecg_shade.describe_missing(explanation))))
    _write(figure, _LEFT, 48, caption, fontsize=7)
    _write(figure, _LEFT + 45, _HEIGHT - 5.5, ecg_shade.NOTICE, fontsize=8, color=style.ORANGE)
    if not explanation.shares.any():
        return
    handles = ecg_shade.create_legend(darkest * explanation.sampling_rate, explanation.method, explanation.kind)
    place = ((_LEFT - 2) / _WIDTH, 1 - 50.5 / _HEIGHT)
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=place, borderaxespad=0)
    ecg_shade.draw_shares(figure, explanation.shares, explanation.leads, 110, 42)


def _write_findings(figure: Figure, findings: Sequence[Finding]) -> None:
    for place, found in enumerate(findings):
        x = _LEFT + place * _PAPER_WIDTH / max(len(findings), 6)
        colour = style.ORANGE if found.is_called and not found.is_normal else style.BLACK
        look = {"color": colour, "fontweight": "bold" if found.is_called else "normal"}
        probability, side = found.describe()
        _write(figure, x, 30, style.literal(f"{_shorten(found.label)} {probability}"), **look)
        _write(figure, x, 35, side, fontsize=7, color=style.GREY)


def _shorten(label: str) -> str:
    return label if len(label) <= _LONGEST_FINDING else f"{label[: _LONGEST_FINDING - 1]}…"
