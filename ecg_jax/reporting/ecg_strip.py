"""Strips on ECG paper, as SVG: 25 mm per second, 10 mm per millivolt, a grid of 1 and 5 mm.

Written directly: in matplotlib's SVG a strip of ten seconds is ten times as large.
"""

import dataclasses
import html
from collections.abc import Iterator

import numpy as np

MM_PER_SECOND, MM_PER_MILLIVOLT, MM_PER_DEVIATION = 25.0, 10.0, 2.5
_CLIP = 25.0  # mm from the baseline: 2.5 mV
_MARGIN, _GAP, _PULSE = 10, 5, 10  # mm: left of the signal, between leads, height of the calibration pulse
_STEP = 0.05  # mm, of a path's whole numbers
_FASTEST = 500.0  # points per second; more cannot be seen


@dataclasses.dataclass(frozen=True)
class Strip:
    """A piece of a recording."""

    title: str  # written above it
    signal: np.ndarray  # `[samples, leads]` millivolts; standard deviations, if `normalized`
    valid: np.ndarray  # `[samples, leads]` bool
    leads: tuple[str, ...]  # names of the columns
    sampling_rate: float  # Hz
    normalized: bool = False  # whether the signal is in standard deviations, of 2.5 mm each


def draw_strip(strip: Strip) -> str:
    """Draws leads one below the other, each about its median, as an `<svg>` element whose unit is the millimetre.

    Excursions beyond 25 mm are clipped, which is stated; what is invalid is shaded.
    """
    scale = MM_PER_DEVIATION if strip.normalized else MM_PER_MILLIVOLT
    lanes = [_Lane(strip, column, scale) for column in range(len(strip.leads))]
    width = _MARGIN + 5 * int(np.ceil(len(strip.signal) / strip.sampling_rate * MM_PER_SECOND / 5))
    top, parts = _GAP, []
    for lane in lanes:
        parts += lane.draw(top + lane.above)
        top += lane.above + lane.below + _GAP
    label = html.escape(f"{strip.title}: leads {', '.join(strip.leads)}")
    return (
        f'<svg class="strip" viewBox="0 0 {width} {top}" style="--mm: {width}" role="img" aria-label="{label}">'
        f'<path class="fine" d="{_grid(width, top, 1)}"/><path class="coarse" d="{_grid(width, top, 5)}"/>'
        f"{''.join(parts)}</svg>"
    )


class _Lane:
    """One lead's part of the paper; `above` and `below` are whole millimetres from its baseline."""

    def __init__(self, strip: Strip, column: int, scale: float) -> None:
        stride = int(np.ceil(strip.sampling_rate / _FASTEST))
        self.name, self.unit = strip.leads[column], "SD" if strip.normalized else "mV"
        self.valid = strip.valid[::stride, column]
        known = strip.signal[strip.valid[:, column], column]
        self.low, self.high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        self.median = float(np.median(known)) if known.size else 0.0
        self.seconds = stride / strip.sampling_rate
        self.heights = (strip.signal[::stride, column] - self.median) * scale
        up, down = (self.high - self.median) * scale, (self.median - self.low) * scale
        self.clipped = max(up, down) > _CLIP
        self.above, self.below = (int(5 * np.ceil(min(side, _CLIP) / 5)) for side in (max(up, _PULSE), max(down, 5)))

    def draw(self, baseline: int) -> list[str]:
        """Calibration pulse, name, shaded gaps, signal, and a remark where it is clipped or nowhere valid."""
        text = f"{self.low:.3g} to {self.high:.3g} {self.unit}, clipped".replace("-", "−") if self.clipped else ""
        text = text if self.valid.any() else "nothing valid"
        y = baseline - self.above
        return [
            *(self._shade(start, end, y) for start, end in _runs(~self.valid)),
            f'<path class="trace" d="M1 {baseline}h1.5v-{_PULSE}h5v{_PULSE}h1.5"/>',
            f'<text x="1" y="{baseline + 4}">{html.escape(self.name)}</text>',
            f'<path class="trace" transform="translate({_MARGIN} {baseline}) scale({_STEP})" d="{self._path()}"/>',
            f'<text class="remark" x="{_MARGIN + 1}" y="{y - 1.2:.1f}">{html.escape(text)}</text>' if text else "",
        ]

    def _shade(self, start: int, end: int, y: int) -> str:
        left, right = (_MARGIN + place * self.seconds * MM_PER_SECOND for place in (start, end))
        return (
            f'<rect class="gap" x="{left:.2f}" y="{y}" width="{right - left:.2f}" height="{self.above + self.below}"/>'
        )

    def _path(self) -> str:
        """Relative steps between whole numbers of `_STEP`; one run per valid span."""
        y = np.rint(-np.clip(self.heights, -_CLIP, _CLIP) / _STEP).astype(int)
        x = np.rint(np.arange(len(y)) * self.seconds * MM_PER_SECOND / _STEP).astype(int)
        spans = []
        for start, end in _runs(self.valid):
            steps = np.diff(np.stack([x[start:end], y[start:end]], axis=1), axis=0).ravel().tolist()
            spans.append(f"M{x[start]} {y[start]}l{' '.join(map(str, steps or [0, 0]))}".replace(" -", "-"))
        return "".join(spans)


def _runs(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """Starts and ends of the spans where a mask is True."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _grid(width: int, height: int, step: int) -> str:
    upright = "".join(f"M{x} 0v{height}" for x in range(0, width + 1, step))
    return upright + "".join(f"M0 {y}h{width}" for y in range(0, height + 1, step))
