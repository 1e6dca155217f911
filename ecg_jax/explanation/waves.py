"""From a network's probabilities for each sample to waves with boundaries between samples.

A wave is where the mean over leads exceeds a threshold. In each lead it begins and ends where the lead's own
probability crosses half its maximum there: as the network gives the probability that the wave has begun, this is
the median of where it begins.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

_SHORTEST = {"P": 0.03, "QRS": 0.02, "T": 0.05}  # seconds
_MERGED = {"P": 0.03, "QRS": 0.05, "T": 0.06}  # seconds: a gap within a wave
_REACH = {"P": 0.08, "QRS": 0.06, "T": 0.12}  # seconds beyond the mean's boundaries in which a lead's may lie
_REFRACTORY = 0.2  # seconds between onsets of QRS complexes, at least
_PACING, _PACED_AMONG_PACED = 2, 0.12  # beats, and probability of further ones, where a pacemaker is at work
_LEAST = 0.15  # probability, below which a lead does not show the wave


class Segment(NamedTuple):
    """A wave in the mean over leads, as numbers of samples, the last excluded."""

    begin: int
    end: int
    weight: float  # sum of probability


def find_segments(probability: np.ndarray, threshold: float, shortest: int, merged: int) -> list[Segment]:
    """Where `[T]` exceeds a threshold, for at least `shortest` samples; gaps of up to `merged` samples are filled."""
    edges = np.diff(np.concatenate([[0], (probability > threshold).astype(np.int8), [0]]))
    begins, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    if not len(begins):
        return []
    apart = np.flatnonzero(begins[1:] - ends[:-1] > merged)
    begins, ends = begins[np.concatenate([[0], apart + 1])], ends[np.concatenate([apart, [len(ends) - 1]])]
    total = np.concatenate([[0], np.cumsum(probability)])
    kept = ends - begins >= shortest
    return [Segment(b, e, total[e] - total[b]) for b, e in zip(begins[kept].tolist(), ends[kept].tolist(), strict=True)]


def find_all_segments(
    mean: np.ndarray, sampling_rate: float, thresholds: dict[str, float]
) -> tuple[list[Segment], list[Segment], list[Segment]]:
    """P, QRS and T of `[T, 3]` probabilities; between two QRS complexes at most one T."""

    def find(wave: str) -> list[Segment]:
        column = {"P": 0, "QRS": 1, "T": 2}[wave]
        return find_segments(
            mean[:, column],
            thresholds[wave],
            round(_SHORTEST[wave] * sampling_rate),
            round(_MERGED[wave] * sampling_rate),
        )

    complexes: list[Segment] = []
    for segment in find("QRS"):
        if complexes and segment.begin - complexes[-1].begin < _REFRACTORY * sampling_rate:
            complexes[-1] = max(complexes[-1], segment, key=lambda each: each.weight)
        else:
            complexes.append(segment)
    onsets = [segment.begin for segment in complexes]
    best: dict[int, Segment] = {}
    for segment in find("T"):
        place = int(np.searchsorted(onsets, (segment.begin + segment.end) / 2))
        if place not in best or segment.weight > best[place].weight:
            best[place] = segment
    return find("P"), complexes, [best[place] for place in sorted(best)]


def find_boundaries(probability: np.ndarray, segments: list[Segment], reach: int) -> np.ndarray:
    """Each lead's onset and offset of each segment.

    Args:
        probability: `[L, T]` of one wave.
        segments: Of the mean over leads.
        reach: Samples beyond a segment in which a lead's boundaries may lie; not beyond halfway to the next segment.

    Returns:
        `[segments, L, 2]` samples, with fractions; NaN where a lead does not show the wave.
    """
    leads, samples = probability.shape
    if not segments:
        return np.zeros((0, leads, 2))
    begin, end = (np.array([segment[i] for segment in segments]) for i in range(2))
    middle = (end[:-1] + begin[1:]) // 2
    low = np.maximum(begin - reach, np.concatenate([[0], middle]))
    high = np.minimum(end + reach, np.concatenate([middle, [samples]]))
    number = low[:, None] + np.arange((high - low).max())  # [segments, W]
    windows = probability[:, np.minimum(number, samples - 1)]  # [L, segments, W]
    windows = np.where(number < high[:, None], windows, 0.0)
    inner = np.where((number >= begin[:, None]) & (number < end[:, None]), windows, -1.0)
    top, at = inner.max(axis=2), inner.argmax(axis=2)
    size = number.shape[1] - 1
    flat, limit = windows.reshape(leads * len(segments), -1), top.ravel() / 2
    onset = _cross(flat, at.ravel(), limit).reshape(at.shape)
    offset = size - _cross(flat[:, ::-1], size - at.ravel(), limit).reshape(at.shape)
    found = np.stack([onset, np.minimum(offset, high - low - 1)], axis=-1) + low[:, None]
    return np.where(top[..., None] > _LEAST, found, np.nan).swapaxes(0, 1)


def _cross(window: np.ndarray, top: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Where each row `[L, W]` last rises through its limit before its top."""
    column = np.arange(window.shape[1])
    below = (window <= limit[:, None]) & (column < top[:, None])
    last = np.where(below.any(axis=1), window.shape[1] - 1 - below[:, ::-1].argmax(axis=1), -1)
    row = np.arange(len(window))
    low, high = window[row, np.maximum(last, 0)], window[row, np.minimum(last + 1, window.shape[1] - 1)]
    share = (limit - low) / np.where(high > low, high - low, 1.0)
    return np.where(last < 0, 0.0, last + np.clip(share, 0.0, 1.0))


def locate(
    probability: np.ndarray, recorded: np.ndarray, sampling_rate: float, thresholds: dict[str, float]
) -> dict[str, np.ndarray]:
    """Boundaries by wave, `[waves, L, 2]` seconds, of `[L, T, 3]` probabilities in the order P, QRS, T."""
    weight = recorded / max(recorded.sum(), 1)
    mean = np.tensordot(weight, probability, 1)
    segments = find_all_segments(mean, sampling_rate, thresholds)
    located = {}
    for column, (wave, found) in enumerate(zip(("P", "QRS", "T"), segments, strict=True)):
        bounds = find_boundaries(probability[..., column], found, round(_REACH[wave] * sampling_rate))
        bounds[:, ~recorded] = np.nan
        located[wave] = bounds / sampling_rate
    return located


def classify(kinds: np.ndarray, bounds: np.ndarray, recorded: np.ndarray, sampling_rate: float) -> list[str]:
    """`usual`, `ectopic` or `paced` of complexes `[waves, 2]` seconds, by the mean over leads and time.

    Of `[L, T, 2]` probabilities of `ectopic` and `paced`. Among paced beats less certain ones are paced, too.
    """
    weight = recorded / max(recorded.sum(), 1)
    mean = np.tensordot(weight, kinds, 1)
    each = np.array(
        [mean[int(onset) : int(offset) + 1].mean(axis=0) for onset, offset in np.nan_to_num(bounds * sampling_rate)]
    ).reshape(-1, 2)
    ectopic, paced = each.T
    is_other = ectopic + paced > 0.5
    is_paced = is_other & (paced >= ectopic)
    if is_paced.sum() >= _PACING:
        is_paced |= paced > _PACED_AMONG_PACED
    return np.select([is_paced, is_other], ["paced", "ectopic"], "usual").tolist()


def span_leads(bounds: np.ndarray) -> np.ndarray:
    """The earliest onset and the latest offset over leads of `[waves, L, 2]` seconds, without outliers, `[waves, 2]`.

    An outlier is further from the median than three standard deviations, estimated from the median distance, and than
    12 ms. NaN where no lead has any.
    """
    spans = np.full((len(bounds), 2), np.nan)
    some = np.isfinite(bounds).any(axis=(1, 2))
    known = bounds[some]
    if len(known):
        distance = np.abs(known - _median_of_known(known))
        limit = np.maximum(3 * 1.4826 * _median_of_known(distance), 0.012)
        kept = np.where(distance <= limit, known, np.nan)
        spans[some] = np.stack([np.nanmin(kept[..., 0], axis=1), np.nanmax(kept[..., 1], axis=1)], axis=1)
    return spans


def separate(bounds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Boundaries by wave, `[waves, L, 2]` seconds in order of time, without overlaps within a lead.

    Waves of a kind meet in the middle of what they share; P and T waves end or begin where a QRS complex does, and are
    NaN where they lie within it. A P wave may lie on a T wave.
    """
    apart = {wave: _halve_overlaps(each) for wave, each in bounds.items()}
    complexes = apart["QRS"][np.isfinite(apart["QRS"]).any(axis=(1, 2))]
    shape = (1, *complexes.shape[1:])
    padded = np.concatenate([np.full(shape, -np.inf), complexes, np.full(shape, np.inf)])
    for wave in ("P", "T"):
        onset, offset = np.moveaxis(apart[wave], -1, 0)
        before = np.searchsorted(_find_middles(complexes), _find_middles(apart[wave]))
        onset = np.where(onset < padded[before, :, 1], padded[before, :, 1], onset)
        offset = np.where(offset > padded[before + 1, :, 0], padded[before + 1, :, 0], offset)
        apart[wave] = np.where((onset < offset)[..., None], np.stack([onset, offset], axis=-1), np.nan)
    return apart


def _halve_overlaps(bounds: np.ndarray) -> np.ndarray:
    """Lets neighbours `[waves, L, 2]` of a kind meet in the middle of what they share."""
    bounds = bounds.copy()
    offset, onset = bounds[:-1, :, 1], bounds[1:, :, 0]
    middle = np.where(offset > onset, (offset + onset) / 2, np.nan)
    bounds[:-1, :, 1], bounds[1:, :, 0] = np.fmin(offset, middle), np.fmax(onset, middle)
    return bounds


def _find_middles(bounds: np.ndarray) -> np.ndarray:
    """The mean of the known boundaries of each wave `[waves, L, 2]`; 0 without any."""
    known = np.isfinite(bounds)
    return np.where(known, bounds, 0.0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)


def _median_of_known(values: np.ndarray) -> np.ndarray:
    """`np.nanmedian` over axis 1 of `[N, L, 2]`, kept; faster for few values. Each row needs a known one."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(axis=1, keepdims=True)
    return (np.take_along_axis(ordered, (count - 1) // 2, 1) + np.take_along_axis(ordered, count // 2, 1)) / 2
