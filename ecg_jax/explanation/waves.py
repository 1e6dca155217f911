"""From what a network states of each sample to waves with boundaries between samples.

A wave is where the mean over leads exceeds a threshold. In each lead it begins and ends where the lead's own
probability crosses half its maximum there: as the network states how probable it is that the wave has begun, this is
the median of where it begins.
"""

from typing import NamedTuple

import numpy as np

_SHORTEST = {"P": 0.03, "QRS": 0.02, "T": 0.05}  # seconds
_MERGED = {"P": 0.03, "QRS": 0.05, "T": 0.06}  # seconds: a gap within a wave
_REACH = {"P": 0.08, "QRS": 0.06, "T": 0.12}  # seconds beyond the mean's boundaries in which a lead's may lie
_REFRACTORY = 0.2  # seconds between onsets of QRS complexes, at least
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
    found = np.full((len(segments), leads, 2), np.nan)
    for i, segment in enumerate(segments):
        low = max(segment.begin - reach, (segments[i - 1].end + segment.begin) // 2 if i else 0, 0)
        high = min(
            segment.end + reach,
            (segment.end + segments[i + 1].begin) // 2 if i + 1 < len(segments) else samples,
            samples,
        )
        window = probability[:, low:high]
        inner = window[:, segment.begin - low : segment.end - low]
        top, number = inner.max(axis=1), inner.argmax(axis=1) + segment.begin - low
        shown = top > _LEAST
        found[i, :, 0] = np.where(shown, low + _cross(window, number, top / 2), np.nan)
        size = window.shape[1] - 1
        found[i, :, 1] = np.where(shown, low + size - _cross(window[:, ::-1], size - number, top / 2), np.nan)
    return found


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
    mean = np.einsum("ltw,l->tw", probability, weight)
    segments = find_all_segments(mean, sampling_rate, thresholds)
    located = {}
    for column, (wave, found) in enumerate(zip(("P", "QRS", "T"), segments, strict=True)):
        bounds = find_boundaries(probability[..., column], found, round(_REACH[wave] * sampling_rate))
        bounds[:, ~recorded] = np.nan
        located[wave] = bounds / sampling_rate
    return located


def classify(kinds: np.ndarray, bounds: np.ndarray, recorded: np.ndarray, sampling_rate: float) -> list[str]:
    """`usual`, `ectopic` or `paced` of each complex, by the mean over leads and time of `[L, T, 2]` probabilities."""
    weight = recorded / max(recorded.sum(), 1)
    mean = np.einsum("ltk,l->tk", kinds, weight)
    names = []
    for onset, offset in np.nanmedian(bounds, axis=1) if len(bounds) else []:
        if not np.isfinite(onset):
            names.append("usual")
            continue
        ectopic, paced = mean[int(onset * sampling_rate) : int(offset * sampling_rate) + 1].mean(axis=0)
        names.append("usual" if max(ectopic, paced) < 0.5 else "ectopic" if ectopic > paced else "paced")
    return names


def span_leads(bounds: np.ndarray) -> tuple[float, float]:
    """The earliest onset and the latest offset of `[L, 2]` seconds, without outliers; NaN where no lead has any.

    An outlier is further from the median than three standard deviations, estimated from the median distance, and than
    12 ms.
    """
    known = bounds[np.isfinite(bounds).all(axis=1)]
    if not len(known):
        return np.nan, np.nan
    distance = np.abs(known - np.median(known, axis=0))
    limit = np.maximum(3 * 1.4826 * np.median(distance, axis=0), 0.012)
    onsets, offsets = (known[distance[:, i] <= limit[i], i] for i in range(2))
    return float(onsets.min()), float(offsets.max())
