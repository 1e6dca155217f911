"""The step between samples by their times, and where times skip or go back."""

from typing import NamedTuple

import numpy as np

_MOST_MISSING = 20  # samples; at 500 Hz a millimetre on ECG paper
_SKIPS = 4, 0.01  # so many, or such a part of all steps; where there are more, the times are taken for uneven
_UNEVEN = 6  # times the median deviation, beyond which is no normally distributed one of 5,000
_SLACK = 1.01


class Steps(NamedTuple):
    """The times of samples.

    Attributes:
        step: Between two samples, without skips.
        error: Of the step, relative.
        skip: The largest place where samples are missing or out of order, one line; empty without any.
        is_broken: Whether more than `_MOST_MISSING` samples are missing there or out of order.
    """

    step: float
    error: float
    skip: str
    is_broken: bool


def measure(times: np.ndarray, rows: np.ndarray, resolution: float) -> Steps | None:
    """Measures the step; None where times stand still.

    A time that several rows share is that of the row in their middle: so it is within half a row of the true time,
    however coarse times are and where they become coarser. What rounding and jitter do not explain is a skip. One
    missing sample is not noticed where times are no finer than the samples, nor are skips among times that are uneven
    themselves, as those of the arrival of packets.

    Args:
        times: `[n]` in any unit.
        rows: `[n]`, the samples that they belong to.
        resolution: Of times that stand in the text, in their unit.
    """
    starts = np.flatnonzero(np.diff(times, prepend=np.nan) != 0)
    ends = np.append(starts[1:], len(times)) - 1
    if (ends > starts).any():  # it is not known which part of the first and last time the file has
        starts, ends = starts[1:-1], ends[1:-1]
    if len(starts) < 2:
        return None
    gone = np.diff(times[starts])
    passed = np.diff((rows[starts] + rows[ends]) / 2)
    likely = np.median(gone / passed)
    is_even = np.abs(gone - passed * likely) <= 1.5 * abs(likely)
    step = _divide(gone, passed, is_even)
    excess = gone - passed * step
    most = max(0.5 * step, min(resolution, step), _UNEVEN * float(np.median(np.abs(excess)))) * _SLACK
    is_even = np.abs(excess) <= most
    if np.count_nonzero(~is_even) > max(_SKIPS[0], _SKIPS[1] * len(gone)):
        is_even[:] = True
    step = _divide(gone, passed, is_even)
    if step <= 0:
        return Steps(step, np.inf, "it runs backwards", True)
    excess = gone - passed * step
    error = np.abs(np.cumsum(np.where(is_even, excess, 0))).max() / gone[is_even].sum()
    skips = np.where(is_even, 0, excess)
    lost, back = float(skips.sum()), -float(np.where(is_even, 0, gone).min())
    if abs(lost) <= most and back <= 0:
        return Steps(step, 2 * float(error), "", False)
    place = int(np.abs(skips).argmax())
    size = f"{round(lost / step)} sample(s) missing" if lost > most and back <= 0 else "samples out of order"
    jump = f"after row {rows[ends[place]] + 1} of the samples it goes on by {gone[place]:.6g}, usually by {step:.6g}"
    return Steps(step, 2 * float(error), f"{jump}; {size}", max(abs(lost), back) > max(_MOST_MISSING * step, 2 * most))


def _divide(gone: np.ndarray, passed: np.ndarray, is_even: np.ndarray) -> float:
    return float(gone[is_even].sum() / passed[is_even].sum()) if is_even.any() else 0.0
