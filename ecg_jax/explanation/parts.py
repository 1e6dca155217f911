"""Waves of recordings of any length: a long one in parts of two minutes, so that a day needs no more memory at once."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ecg_jax.explanation.delineation import Delineation, Wave, delineate_many
from ecg_jax.recording import Recording

PART = 120.0  # seconds
OVERLAP = 10.0  # seconds that neighbouring parts share
_MARGIN = 3.0  # seconds at either end of a part whose waves the neighbour finds


def delineate_parts(recordings: Iterable[Recording]) -> Iterator[Delineation]:
    """`delineation.delineate_many` in constant memory; times are from the first sample of the whole recording."""
    first, second = itertools.tee(recordings)
    found = delineate_many(part for recording in first for part in _cut(recording))
    for recording in second:
        starts = _place_parts(recording)
        yield join(list(itertools.islice(found, len(starts))), [s / recording.sampling_rate for s in starts])


def _place_parts(recording: Recording) -> list[int]:
    """Samples at which parts begin; the last part is longer than the overlap."""
    samples, rate = len(recording.signal), recording.sampling_rate
    if samples <= PART * rate:
        return [0]
    step, shared = round((PART - OVERLAP) * rate), round(OVERLAP * rate)
    return list(range(0, samples - shared, step))


def _cut(recording: Recording) -> Iterator[Recording]:
    starts = _place_parts(recording)
    if len(starts) == 1:
        yield recording
        return
    for start in starts:
        part = slice(start, start + round(PART * recording.sampling_rate))
        yield dataclasses.replace(recording, signal=recording.signal[part], valid=recording.valid[part])


def join(parts: Sequence[Delineation], starts: Sequence[float]) -> Delineation:
    """One delineation of parts that begin at these seconds; neighbours meet in the longest pause that both hold."""
    if len(parts) == 1:
        return parts[0]
    edges = [-np.inf]
    for before, begin, after in zip(parts, starts, starts[1:], strict=False):
        span = (after - begin + _MARGIN, after - begin + OVERLAP - _MARGIN)
        edges.append(begin + _find_pause(before.waves, span))
    edges.append(np.inf)
    whole: list[Wave] = []
    by_lead: dict[str, list[Wave]] = {lead: [] for lead in parts[0].waves_by_lead}
    for part, start, low, high in zip(parts, starts, edges, edges[1:], strict=False):
        whole += _take(part.waves, start, low, high)
        for lead, waves in part.waves_by_lead.items():
            by_lead[lead] += _take(waves, start, low, high)
    return Delineation(whole, by_lead)


def _take(waves: Sequence[Wave], start: float, low: float, high: float) -> list[Wave]:
    """Those whose middle lies between two times, moved by `start`."""
    moved = ({**wave, "onset": wave["onset"] + start, "offset": wave["offset"] + start} for wave in waves)
    return [wave for wave in moved if low <= (wave["onset"] + wave["offset"]) / 2 < high]


def _find_pause(waves: Sequence[Wave], span: tuple[float, float]) -> float:
    """The middle of the longest pause between waves, in order of onset, within a span of seconds."""
    low, high = span
    ends = np.maximum.accumulate([low, *(wave["offset"] for wave in waves)])
    begins = np.array([*(wave["onset"] for wave in waves), high])
    ends, begins = np.clip(ends, low, high), np.clip(begins, low, high)
    longest = int((begins - ends).argmax())
    return float(ends[longest] + begins[longest]) / 2
