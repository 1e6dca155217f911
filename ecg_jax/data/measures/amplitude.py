"""How large an ECG is, and what that says of its unit.

Amplitude is measured as the range within a second, median over seconds and leads: wander, artefacts, pauses and silent
leads hardly change it. Where the result is too small for an ECG, it is measured again in the seconds that hold a beat,
as ventricles may beat less often than every other second; where it is too large, without a pacemaker's spikes, which
are not part of the heart's voltage.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.ndimage

from ecg_jax.data.measures import ranks
from ecg_jax.recording import LEADS, Recording, remembered
from ecg_jax.units import CODE_UNITS_PER_MILLIVOLT

WINDOW = 1.0  # seconds; a beat at 60 per minute
LONGEST_INTERVAL = 4.0  # seconds between beats: 15 per minute, of the slowest escape rhythms
LONGEST_SPIKE = 0.006  # seconds; a pacemaker's pulse lasts 0.4 to 2 ms, and a device's filter widens it

# mV. 1,053 recordings of eight sources range from 0.32 (LUDB) to 4.9 (CODE's exams, headed as
# mV, and one of PTB-XL). Ten times too large is then 7.1 or more for 95 % of PTB-XL, ten
# times too small 0.17 or less. Between 6 and 9 mV one recording can be either: hypertrophy of storage
# diseases and of children reaches such voltages.
LOWEST, HIGHEST = 0.2, 9.0
SUSPICIOUSLY_LOW, SUSPICIOUSLY_HIGH = 0.25, 6.0
USUAL = (0.4, 3.5)  # mV; a factor that leads into it fits. 98 % of the same recordings are within

# mV per unit, and what such a unit is. A factor of 2 between neighbours cannot be distinguished.
UNITS = {
    1000.0: "volts",
    100.0: "100 mV",
    10.0: "10 mV",
    1.0: "millivolts",
    0.1: "0.1 mV",
    0.01: "10 microvolts",
    0.005: "counts of 200 per mV",
    0.001: "microvolts, or counts of 1000 per mV",
    0.0001: "0.1 microvolts",
    0.000001: "nanovolts",
}
# The other factors are also what a wrong rate or a normalization looks like.
REAL_UNITS = (1000.0, 1.0, 0.001, 0.000001)
_ALIKE = 0.02  # of the deviation; how near z-scores come to mean 0 and to one deviation

# Lead II's 0.5-99.5 percentile range, mV: PTB-XL's median, and how data sets in mV differ
# from it (standard deviation of the logarithm of the medians of PTB-XL, LUDB, CPSC, Georgia,
# Chapman, SPH) and recordings from each other.
REFERENCE_RANGE = 1.02
SPREAD_BETWEEN, SPREAD_WITHIN = 0.13, 0.42


@dataclasses.dataclass(frozen=True)
class ScaleEstimate:
    """How many units one millivolt seems to be, over a data set.

    Attributes:
        factor: Units per mV; NaN where no recording has an amplitude.
        low, high: Its 95 % interval.
        message: What that means, in a line.
    """

    factor: float
    low: float
    high: float
    message: str


def measure_ranges(recording: Recording, in_beats: bool = False) -> np.ndarray:
    """Each lead's range within a second, the median over seconds (those with a beat, see `find_beats`, if `in_beats`).

    Returns:
        `[leads]` float64 in the recording's unit; 0 for a flat lead, NaN for one with no valid sample.
    """
    if recording.is_complete and recording.signal.size:
        return _summarize_seconds(measure_seconds(recording), in_beats)
    leads = [recording.signal[known, i][None] for i, known in enumerate(recording.valid.T)]
    seconds = [range_seconds(lead, recording.sampling_rate) if lead.size else np.full((1, 1), np.nan) for lead in leads]
    return np.concatenate([_summarize_seconds(ranges, in_beats) for ranges in seconds])


@remembered
def measure_seconds(recording: Recording) -> np.ndarray:
    """Each lead's range in each second, `[leads, seconds]` float32, of a recording whose samples are all valid."""
    return range_seconds(recording.by_lead, recording.sampling_rate)


def range_seconds(leads: np.ndarray, sampling_rate: float) -> np.ndarray:
    """The same of `[leads, samples]`."""
    return range_of(split(leads, max(round(WINDOW * sampling_rate), 2)))


def range_of(windows: np.ndarray) -> np.ndarray:
    """The range along the last axis."""
    return windows.max(axis=-1) - windows.min(axis=-1)


def find_beats(ranges: np.ndarray) -> np.ndarray:
    """The seconds, `[seconds]` bool, that hold a beat, by each lead's range in each, `[leads, seconds]`.

    Those move at least half as much as any within `LONGEST_INTERVAL`.
    """
    moved = ranges.sum(axis=0)
    stretches = np.array_split(moved, max(int(len(moved) * WINDOW / LONGEST_INTERVAL), 1))
    return np.concatenate([stretch >= 0.5 * stretch.max() for stretch in stretches])


def split(leads: np.ndarray, window: int) -> np.ndarray:
    """`[leads, samples]` to `[leads, windows, window]`; the rest is dropped, a short signal is one window."""
    window = max(min(window, leads.shape[1]), 1)
    return leads[:, : leads.shape[1] // window * window].reshape(len(leads), -1, window)


def _summarize_seconds(ranges: np.ndarray, in_beats: bool) -> np.ndarray:
    """`[k, seconds]` to `[k]`."""
    if in_beats:
        ranges = ranges[:, find_beats(ranges)]
    return ranks.median(ranges).astype(np.float64)


def summarize_ranges(ranges: np.ndarray, leads: Sequence[str]) -> float:
    """The median over standard leads of `ranges` (see `measure_ranges`), without silent ones; NaN if none is left."""
    known = ranges[[name in LEADS for name in leads]]
    known = known[known > 0]
    if not known.size:
        return np.nan
    [large] = ranks.percentiles(known, 75)
    return float(ranks.median(known[known > 0.05 * large]))


def measure_size(recording: Recording) -> float:
    """The size of a recording's beats: the median over leads, see `summarize_ranges`, in its unit."""
    return remeasure_size(recording, summarize_ranges(measure_ranges(recording), recording.leads))


def remeasure_size(recording: Recording, size: float) -> float:
    """Measures a size again that is not an ECG's: in the seconds that hold a beat, or without a pacemaker's spikes.

    Returns:
        The second result where that is an ECG's size, else `size`, which is by `measure_ranges` and `summarize_ranges`.
    """
    if size < SUSPICIOUSLY_LOW:
        again = summarize_ranges(measure_ranges(recording, in_beats=True), recording.leads)
    elif size > SUSPICIOUSLY_HIGH:
        again = summarize_ranges(measure_ranges(_remove_spikes(recording)), recording.leads)
    else:
        return size
    return again if LOWEST <= again <= HIGHEST else size


def _remove_spikes(recording: Recording) -> Recording:
    """Takes medians over twice the length of a spike and a sample, which takes a little of QRS complexes too."""
    width = 2 * math.ceil(LONGEST_SPIKE * recording.sampling_rate) + 1
    return dataclasses.replace(recording, signal=scipy.ndimage.median_filter(recording.signal, (width, 1)))


def take_lead(recording: Recording, column: int) -> np.ndarray:
    """The valid samples of a column."""
    if recording.is_complete:
        return recording.by_lead[column]
    return recording.signal[recording.valid[:, column], column]


def measure_lead_two(recording: Recording) -> float:
    """Measures lead II's 0.5-99.5 percentile range, which `estimate_scale` is calibrated for; NaN without lead II."""
    if "II" not in recording.leads:
        return np.nan
    column = recording.leads.index("II")
    lead = take_lead(recording, column)
    if not lead.size:
        return np.nan
    low, high = ranks.percentiles(lead, 0.5, 99.5)
    return high - low


def find_units(amplitude: float) -> tuple[float, ...]:
    """The keys of `UNITS` that bring an amplitude into the usual range."""
    return tuple(unit for unit in UNITS if USUAL[0] <= amplitude * unit <= USUAL[1])


def find_common_deviation(recording: Recording) -> float:
    """The standard deviation, over valid samples, that all moving leads share, with a mean of 0, as z-scores do.

    NaN where leads differ, as voltages do, or fewer than three move.
    """
    deviations: list[float] = []
    for column in (i for i, name in enumerate(recording.leads) if name in LEADS):
        lead = take_lead(recording, column)
        if not lead.size or not np.ptp(lead):
            continue
        mean, deviation = lead.mean(dtype=np.float64), float(lead.std(dtype=np.float64))
        deviations.append(deviation)
        if abs(mean) > _ALIKE * deviation or max(deviations) > (1 + _ALIKE) * min(deviations):
            return np.nan
    return float(np.median(deviations)) if len(deviations) >= 3 else np.nan


def estimate_scale(ranges: np.ndarray) -> ScaleEstimate:
    """Estimates a data set's unit from the size of lead II, `[recordings]`, by `measure_lead_two` in that unit."""
    known = np.asarray(ranges, np.float64)
    known = known[np.isfinite(known) & (known > 0)]
    if not known.size:
        return ScaleEstimate(np.nan, np.nan, np.nan, "no recording has an amplitude in lead II")
    factor = float(np.median(known)) / REFERENCE_RANGE
    # The median of n has a standard error of 1.25 standard deviations over the root of n.
    error = np.hypot(SPREAD_BETWEEN, 1.25 * SPREAD_WITHIN / np.sqrt(known.size))
    low, high = (float(factor * np.exp(sign * 1.96 * error)) for sign in (-1, 1))
    names = {1.0: "mV", CODE_UNITS_PER_MILLIVOLT: "CODE's unit (2 x mV)"}
    names |= {1 / unit: name for unit, name in UNITS.items() if unit != 1}
    fitting = [name for units, name in names.items() if low <= units <= high]
    size = f"lead II's median range is {np.median(known):.3g} over {known.size} recordings"
    meaning = f"that looks like {' or '.join(fitting)}" if fitting else "that is none of the known units"
    return ScaleEstimate(
        factor, low, high, f"{size}: 1 mV seems to be {factor:.3g} units ({low:.3g} to {high:.3g}); {meaning}"
    )
