"""Whether HDF5 `tracings` without a stated rate or unit are those of the CODE group.

Others write the same layout at other rates and in other units, and one exam cannot prove which: a factor of 2 in the
unit or of 1.25 in the rate is within what hearts differ by. So CODE's convention is assumed only where length and
amplitude agree with it, over a file of many exams the heart rate and the padding too; and the assumption is noted.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from ecg_jax.data.measures import amplitude
from ecg_jax.recording import Recording
from ecg_jax.units import CODE_UNITS_PER_MILLIVOLT as UNITS_PER_MILLIVOLT

SAMPLING_RATE = 400.0
SAMPLES = 4096  # 10.24 s, in the middle of which shorter exams are padded with zeros
LENGTHS = (2800, 2934, 4000, SAMPLES)  # of most exams
LOWEST, HIGHEST = 0.25, 3.0  # mV; 242 exams have 0.37 to 2.45
MANY = 8  # exams that are enough for statistics
MOST_READ = 64  # of a file
# Median heart rate per minute, and how data sets and recordings differ from it (standard deviations of the logarithm
# over PTB-XL, LUDB, the Challenge's sources and CODE).
USUAL_HEART_RATE, SPREAD_BETWEEN, SPREAD_WITHIN = 70.0, 0.08, 0.22
_DOUBTFUL = 2.5  # standard errors
_EVERY = 4  # samples; enough for the size of one exam
_SAME = 0.8  # of the exams


def choose_rows(count: int) -> list[int]:
    """Which exams of a file are measured: none of fewer than `MANY`, all, or `MOST_READ` spread evenly."""
    return np.linspace(0, count - 1, min(count, MOST_READ)).astype(int).tolist() if count >= MANY else []


def contradict_exam(recording: Recording) -> str:
    """Why one exam, read as CODE's, is not; empty where nothing contradicts it."""
    rows = recording.valid.any(axis=1)
    signal, valid = recording.signal[rows][::_EVERY], recording.valid[rows][::_EVERY]
    rate = recording.sampling_rate / _EVERY
    size = amplitude.measure_size(dataclasses.replace(recording, signal=signal, valid=valid, sampling_rate=rate))
    if not size or np.isnan(size) or LOWEST <= size <= HIGHEST:
        return ""
    found, low, high = (UNITS_PER_MILLIVOLT * value for value in (size, LOWEST, HIGHEST))
    return f"a beat's range is {found:.3g} units, in CODE's files {low:g} to {high:g}"


def contradict_exams(recordings: Iterable[Recording]) -> str:
    """Why exams of a file, read as CODE's, are not; empty without contradiction, or for fewer than `MANY`."""
    from ecg_jax.data.measures import defects

    ranges, rates, lengths = [], [], []
    for recording in recordings:
        known = recording.valid.any(axis=1)
        if recording.is_degenerate:
            continue
        ranges.append(UNITS_PER_MILLIVOLT * amplitude.measure_lead_two(recording))
        rates.append(defects.measure_heart_rate(*defects.average(recording.signal[known].T, SAMPLING_RATE)))
        lengths.append(int(known.sum()))
    if len(lengths) < MANY:
        return ""
    found = (_doubt_unit(np.array(ranges)), _doubt_rate(np.array(rates)), _doubt_lengths(lengths))
    return ", ".join(filter(None, found))


def _doubt_unit(ranges: np.ndarray) -> str:
    scale = amplitude.estimate_scale(ranges)
    error = np.log(scale.high / scale.low) / (2 * 1.96)
    if not abs(np.log(scale.factor / UNITS_PER_MILLIVOLT)) > _DOUBTFUL * error:
        return ""
    return f"1 mV seems to be {scale.factor:.3g} units ({scale.low:.3g} to {scale.high:.3g}) instead of CODE's 2"


def _doubt_rate(rates: np.ndarray) -> str:
    known = rates[np.isfinite(rates)]
    if len(known) < MANY:
        return ""
    median = float(np.median(known))
    error = np.hypot(SPREAD_BETWEEN, 1.25 * SPREAD_WITHIN / np.sqrt(len(known)))
    if abs(np.log(median / USUAL_HEART_RATE)) <= _DOUBTFUL * error:
        return ""
    return f"the median heart rate would be {median:.0f} per minute at CODE's 400 Hz"


def _doubt_lengths(lengths: list[int]) -> str:
    length = max(set(lengths), key=lengths.count)
    if length in LENGTHS or lengths.count(length) < _SAME * len(lengths):
        return ""
    return (
        f"{lengths.count(length)} of {len(lengths)} exams have {length} samples, CODE's {', '.join(map(str, LENGTHS))}"
    )
