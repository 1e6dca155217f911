"""Where the P waves, QRS complexes and T waves of a recording begin and end, in each lead and in all.

    delineation = delineate(recording)
    delineation.waves  # [{"wave": "P", "onset": 0.41, "offset": 0.52}, {"wave": "QRS", ...}, ...], seconds
    measure(recording, delineation).qrs  # milliseconds; see `intervals`

A network finds them (`delineation_network`; weights `pretrained/delineator.npz`, trained on simulated ECGs only). Where
it finds no P wave, as in fibrillation, there is none in the list. Not a medical device.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ecg_jax.contract import Resample
from ecg_jax.data.filters import resample
from ecg_jax.explanation import delineation_network
from ecg_jax.explanation import waves as wave_lib
from ecg_jax.explanation.delineation_network import SAMPLING_RATE
from ecg_jax.explanation.delineator_weights import Delineator, load
from ecg_jax.explanation.intervals import FLAT, Measurements, measure
from ecg_jax.recording import Recording

__all__ = ["Delineation", "Measurements", "delineate", "delineate_many", "measure"]

WAVES = ("P", "QRS", "T")
_WINDOW = 2560  # samples that the network sees at once
_OVERLAP = 768  # samples that neighbouring windows share
_AT_ONCE = 8  # windows
_USUAL_DEVIATION = 0.2  # mV, of a lead whose file gives standard deviations

Wave = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Delineation:
    """Waves of one recording, in order of time.

    Attributes:
        waves: Of the whole recording: `wave` (`P`, `QRS` or `T`), `onset` and `offset` in seconds from its first
            sample, from the earliest onset to the latest end over leads without outliers, P and T not within a QRS
            complex; a QRS complex also has `kind`: `usual`, `ectopic` (from the ventricles) or `paced`.
        waves_by_lead: The same by lead name, with each lead's own boundaries, for leads that show the wave.
    """

    waves: list[Wave]
    waves_by_lead: dict[str, list[Wave]]


def delineate(recording: Recording) -> Delineation:
    """Finds the waves of a recording with any leads and sampling rate.

    Memory grows with its length: see `parts.delineate_parts` for hours.

    Raises:
        InputError: when the weights cannot be read.
    """
    return next(delineate_many([recording]))


def delineate_many(recordings: Iterable[Recording]) -> Iterator[Delineation]:
    """`delineate` of each, some at once, which is faster."""
    running: list[_Started] = []
    for group in _group(recordings):
        running.append(_start(group))
        if len(running) > 1:  # the host works on one group while the network works on the next
            yield from _finish(running.pop(0))
    for started in running:
        yield from _finish(started)


class _Prepared(NamedTuple):
    """A recording as the network expects it; see `prepare`."""

    recording: Recording
    signal: np.ndarray
    recorded: np.ndarray


class _Started(NamedTuple):
    """Recordings of one shape that the network works on."""

    group: list[_Prepared]
    windows: list[int]  # where they begin
    probabilities: list[jax.Array]  # `[_AT_ONCE or 1, L, T, outputs]`, a window of a recording after the other


def _group(recordings: Iterable[Recording]) -> Iterator[list[_Prepared]]:
    """Up to `_AT_ONCE` neighbours of the same shape."""
    waiting: list[_Prepared] = []
    for recording in recordings:
        prepared = _Prepared(recording, *prepare(recording))
        if waiting and (waiting[0].signal.shape != prepared.signal.shape or len(waiting) == _AT_ONCE):
            yield waiting
            waiting = []
        waiting.append(prepared)
    if waiting:
        yield waiting


def prepare(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """The network's input: `[L, T]` mV at `SAMPLING_RATE` about each lead's median, and `[L]`, which vary.

    Columns outside `Recording.lead_columns`, such as a pulse wave, are no leads.
    """
    signal, valid = resample(Resample(recording.sampling_rate, SAMPLING_RATE), recording.signal, recording.valid)
    known = np.where(valid, signal, np.nan)
    some = valid.any(axis=0)
    centre = np.zeros(signal.shape[1], np.float32)
    centre[some] = np.nanmedian(known[:, some], axis=0)
    scale = _USUAL_DEVIATION if recording.normalized else 1.0
    signal = np.where(valid, signal - centre, 0).astype(np.float32) * np.float32(scale)
    is_lead = np.zeros(signal.shape[1], bool)
    is_lead[recording.lead_columns] = True
    return signal.T, is_lead & (signal.std(axis=0) > FLAT)


def place_windows(samples: int) -> list[int]:
    """Where windows begin: at 0, and so that neighbours share at least `_OVERLAP` samples."""
    if samples <= _WINDOW:
        return [0]
    count = -(-(samples - _OVERLAP) // (_WINDOW - _OVERLAP))
    return np.linspace(0, samples - _WINDOW, count).round().astype(int).tolist()


def _start(group: list[_Prepared]) -> _Started:
    """Starts the network, in batches of 1 or of `_AT_ONCE` windows, so that few shapes are compiled."""
    leads, samples = group[0].signal.shape
    starts = place_windows(samples)
    width = _WINDOW if samples > _WINDOW // 2 else _WINDOW // 2
    batch = 1 if len(group) * len(starts) == 1 else _AT_ONCE
    total = -(-len(group) * len(starts) // batch) * batch
    windows = np.zeros((total, leads, width), np.float32)
    recorded = np.zeros((total, leads), bool)
    recorded[: len(group) * len(starts)] = np.repeat([each.recorded for each in group], len(starts), axis=0)
    for i, each in enumerate(group):
        for j, start in enumerate(starts):
            part = each.signal[:, start : start + width]
            windows[i * len(starts) + j, :, : part.shape[1]] = part
    params = load().params
    probabilities = [_infer(params, windows[i : i + batch], recorded[i : i + batch]) for i in range(0, total, batch)]
    return _Started(group, starts, probabilities)


def _finish(started: _Started) -> Iterator[Delineation]:
    """Waits for the network."""
    probabilities = np.concatenate([np.asarray(each) for each in started.probabilities])
    count = len(started.windows)
    for i, each in enumerate(started.group):
        joined = join_windows(probabilities[i * count : (i + 1) * count], started.windows, each.signal.shape[1])
        yield describe(joined, each.recorded, each.recording.leads, load())


def join_windows(probabilities: np.ndarray, starts: Sequence[int], samples: int) -> np.ndarray:
    """`[L, samples, outputs]` from windows `[W, L, T, outputs]`, each up to the middle of what it shares."""
    width = probabilities.shape[2]
    ends = [(start + before + width) // 2 for before, start in itertools.pairwise(starts)]
    edges = [0, *ends, samples]
    parts = [
        window[:, edges[i] - start : edges[i + 1] - start]
        for i, (start, window) in enumerate(zip(starts, probabilities, strict=True))
    ]
    return np.concatenate(parts, axis=1)


@jax.jit
def _infer(params: Any, windows: jax.Array, recorded: jax.Array) -> jax.Array:
    return jax.nn.sigmoid(delineation_network.apply(params, windows, recorded))


def describe(
    probabilities: np.ndarray, recorded: np.ndarray, leads: Sequence[str], delineator: Delineator
) -> Delineation:
    """From probabilities `[L, T, 5]` (P, QRS, T, ectopic, paced) to waves."""
    located = wave_lib.locate(probabilities[..., :3], recorded, SAMPLING_RATE, delineator.thresholds)
    whole: list[Wave] = []
    by_lead: dict[str, list[Wave]] = {lead: [] for lead in leads}
    seconds = probabilities.shape[1] / SAMPLING_RATE
    bounds = wave_lib.separate({wave: np.clip(located[wave] + delineator.shifts[wave], 0.0, seconds) for wave in WAVES})
    spans = wave_lib.separate({wave: wave_lib.span_leads(bounds[wave])[:, None] for wave in WAVES})
    kinds = wave_lib.classify(probabilities[..., 3:], spans["QRS"][:, 0], recorded, SAMPLING_RATE)
    for wave in WAVES:
        extra: list[Wave] = [{"kind": kind} for kind in kinds] if wave == "QRS" else [{}] * len(bounds[wave])
        whole += _list(wave, spans[wave][:, 0], extra)
        for number, lead in enumerate(leads):
            by_lead[lead] += _list(wave, bounds[wave][:, number], extra)

    def sort(waves: list[Wave]) -> list[Wave]:
        return sorted(waves, key=lambda wave: wave["onset"])

    return Delineation(sort(whole), {lead: sort(waves) for lead, waves in by_lead.items()})


def _list(wave: str, bounds: np.ndarray, extra: Sequence[Wave]) -> list[Wave]:
    """Waves with finite boundaries of `[waves, 2]`."""
    return [
        {"wave": wave, "onset": onset, "offset": offset, **more}
        for (onset, offset), more in zip(bounds.tolist(), extra, strict=True)
        if np.isfinite(onset)
    ]
