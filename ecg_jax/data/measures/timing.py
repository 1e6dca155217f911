"""What an ECG's own shape says of its sampling rate.

A QRS complex rises in about 15 ms whatever the heart rate, within a narrow range: at a rate that is stated five times
too low it is far too slow, at one five times too high too fast. So are fibrillation and pacemaker spikes; regular
beats, at a rate no heart has, decide.
"""

import dataclasses

import numpy as np
import scipy.fft

from ecg_jax.data.measures import amplitude, ranks
from ecg_jax.recording import Recording

# Calibrated on 1,050 recordings of eight sources, none of which is judged wrong at its own rate.
SLOWEST_RISE, FASTEST_RISE = 60.0, 5.0  # ms; they have 9.6 to 45 over 8 ms, 99 % have 7.8 or more over 2 ms
LOWEST_HEART_RATE, HIGHEST_HEART_RATE = 30.0, 250.0  # per minute
USUAL_RISE = (8.0, 30.0)
COMMON_RATES = (100, 125, 128, 200, 240, 250, 256, 257, 300, 360, 400, 500, 512, 600, 800, 1000, 2000)
_LEAST_REGULAR = 0.5  # autocorrelation one beat later
_LONGEST = 60.0  # seconds that are measured


def measure_rise_time(recording: Recording, over: float, in_beats: bool = False) -> float:
    """How long the steepest part of a beat, over `over` ms, would take for all of the beat's range.

    Returns:
        Milliseconds; the median over leads of medians over seconds (those with a beat, see `amplitude.find_beats`, if
        `in_beats`). NaN with less than a second that is valid in every lead, or no lead that moves.
    """
    rate = recording.sampling_rate
    leads = recording.by_lead[:, : int(_LONGEST * rate)] if recording.is_complete else _take_valid(recording).T
    window, step = max(round(rate), 4), max(round(over / 1000 * rate), 1)
    if leads.shape[1] < window or step >= window:
        return np.nan
    windows = amplitude.split(leads, window)
    seconds = amplitude.measure_seconds(recording) if recording.is_complete and window == round(rate) else None
    ranges = amplitude.range_of(windows) if seconds is None else seconds[:, : windows.shape[1]]
    if in_beats:
        here = amplitude.find_beats(ranges)
        windows, ranges = windows[:, here], ranges[:, here]
    change = windows[..., step:] - windows[..., :-step]
    np.abs(change, out=change)
    size = ranks.median(ranges)
    steepest = ranks.median(change.max(axis=2))
    moving = (size > 0.1 * ranks.median(size)) & (steepest > 0)
    return float(ranks.median(size[moving] / steepest[moving]) * step / rate * 1000) if moving.any() else np.nan


def measure_regular_rate(recording: Recording) -> float:
    """The heart rate of regular beats, from the autocorrelation of the steepness, at any time scale.

    Returns:
        Beats per minute, or a fraction of it; NaN where nothing repeats.
    """
    change = np.abs(np.diff(_take_valid(recording), axis=0))
    if len(change) < 100:
        return np.nan
    cap = np.quantile(change, 0.995, axis=0)
    steepness = np.minimum(change[:, cap > 0] / cap[cap > 0], 1).sum(axis=1)
    steepness = np.maximum(steepness - np.median(steepness), 0)
    steepness -= steepness.mean()
    length = scipy.fft.next_fast_len(2 * len(steepness), real=True)
    spectrum = np.abs(scipy.fft.rfft(steepness, length)) ** 2
    likeness = scipy.fft.irfft(spectrum, length)[: len(steepness) // 2]
    unlike = np.flatnonzero(likeness < 0.05 * likeness[0])
    if not unlike.size:
        return np.nan
    likeness[: unlike[0]] = 0
    period = int(likeness.argmax())
    return 60 * recording.sampling_rate / period if likeness[period] > _LEAST_REGULAR * spectrum.mean() else np.nan


@dataclasses.dataclass(frozen=True)
class Strangeness:
    """Beats that no heart makes.

    Attributes:
        rise_time: Of the QRS complexes at the stated rate, ms.
        heart_rate: Beats per minute at the stated rate, or a fraction of it.
        rates: Common sampling rates at which the rise time would be usual.
    """

    rise_time: float
    heart_rate: float
    rates: tuple[int, ...]


def find_strangeness(recording: Recording) -> Strangeness | None:
    """Looks for a sampling rate that is wrong by a factor of four or more; None where beats look like beats.

    With a factor of five it is found in about half of the recordings of a set; a smaller one is found less often.
    """
    rise_time = measure_rise_time(recording, over=8.0)
    if rise_time > SLOWEST_RISE:  # or most seconds hold no QRS complex
        rise_time = measure_rise_time(recording, over=8.0, in_beats=True)
    slow = rise_time > SLOWEST_RISE
    if not slow and not (rise_time < 2.5 * FASTEST_RISE and measure_rise_time(recording, over=2.0) < FASTEST_RISE):
        return None
    heart_rate = measure_regular_rate(recording)
    if not (heart_rate < LOWEST_HEART_RATE if slow else heart_rate > HIGHEST_HEART_RATE):
        return None
    rise_time = rise_time if slow else measure_rise_time(recording, over=2.0)
    samples = rise_time * recording.sampling_rate
    rates = tuple(rate for rate in COMMON_RATES if USUAL_RISE[0] <= samples / rate <= USUAL_RISE[1])
    return Strangeness(rise_time, heart_rate, rates)


def _take_valid(recording: Recording) -> np.ndarray:
    """The samples that are valid in every lead that is ever valid; no more than a minute of them."""
    longest = int(_LONGEST * recording.sampling_rate)
    if recording.is_complete:
        return recording.signal[:longest]
    used = recording.valid.any(axis=0)
    return recording.signal[recording.valid[:, used].all(axis=1)][:longest, used]
