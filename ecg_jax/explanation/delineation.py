"""Where the P waves, QRS complexes and T waves of a recording begin and end, in each lead and in all.

    delineation = delineate(recording)
    delineation.waves  # [{"wave": "P", "onset": 0.41, "offset": 0.52}, {"wave": "QRS", ...}, ...], seconds

A network finds them (`delineation_network`; weights `pretrained/delineator.npz`, trained on simulated ECGs only). Where
it finds no P wave, as in fibrillation, there is none in the list. Not a medical device.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ecg_jax.data.preprocess import resample
from ecg_jax.explanation import waves as wave_lib
from ecg_jax.explanation.delineation_network import SAMPLING_RATE, DelineationNetwork
from ecg_jax.explanation.delineator_weights import Delineator, load
from ecg_jax.recording import Recording

WAVES = ("P", "QRS", "T")
_WINDOW = 2560  # samples that the network sees at once
_OVERLAP = 768  # samples that neighbouring windows share
_AT_ONCE = 8  # windows
_USUAL_DEVIATION = 0.2  # mV, of a lead whose file gives standard deviations
_FLAT = 1e-3  # mV: a lead that varies less is not connected

Wave = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Delineation:
    """Waves of one recording, in order of time.

    Attributes:
        waves: Of the whole recording: `wave` (`P`, `QRS` or `T`), `onset` and `offset` in seconds from its first
            sample, from the earliest onset to the latest end over leads without outliers; a QRS complex also has
            `kind`: `usual`, `ectopic` (begun in the ventricles) or `paced`.
        waves_by_lead: The same by lead name, with each lead's own boundaries, for leads that show the wave.
    """

    waves: list[Wave]
    waves_by_lead: dict[str, list[Wave]]


def delineate(recording: Recording) -> Delineation:
    """Finds the waves of a recording with any leads, sampling rate and length.

    Raises:
        InputError: when the recording is too long to resample; see `budget`.
    """
    return next(delineate_many([recording]))


def delineate_many(recordings: Iterable[Recording]) -> Iterator[Delineation]:
    """`delineate` of each, some at once, which is faster."""
    waiting: list[tuple[Recording, np.ndarray, np.ndarray]] = []
    for recording in recordings:
        signal, recorded = prepare(recording)
        if waiting and (waiting[0][1].shape != signal.shape or len(waiting) == _AT_ONCE):
            yield from _run(waiting)
            waiting = []
        waiting.append((recording, signal, recorded))
    if waiting:
        yield from _run(waiting)


def prepare(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """The network's input: `[L, T]` mV at `SAMPLING_RATE` about each lead's median, and `[L]`, which leads vary."""
    signal, valid = resample(recording.signal, recording.valid, recording.sampling_rate, SAMPLING_RATE)
    known = np.where(valid, signal, np.nan)
    some = valid.any(axis=0)
    centre = np.zeros(signal.shape[1], np.float32)
    centre[some] = np.nanmedian(known[:, some], axis=0)
    scale = _USUAL_DEVIATION if recording.normalized else 1.0
    signal = np.where(valid, signal - centre, 0).astype(np.float32) * np.float32(scale)
    return signal.T, signal.std(axis=0) > _FLAT


def place_windows(samples: int) -> list[int]:
    """Where windows begin: at 0, and so that neighbours share at least `_OVERLAP` samples."""
    if samples <= _WINDOW:
        return [0]
    count = -(-(samples - _OVERLAP) // (_WINDOW - _OVERLAP))
    return np.linspace(0, samples - _WINDOW, count).round().astype(int).tolist()


def _run(waiting: Sequence[tuple[Recording, np.ndarray, np.ndarray]]) -> Iterator[Delineation]:
    """Delineates recordings of the same shape."""
    delineator = load()
    leads, samples = waiting[0][1].shape
    starts = place_windows(samples)
    width = _WINDOW if samples > _WINDOW // 2 else _WINDOW // 2
    windows = np.zeros((len(waiting) * len(starts), leads, width), np.float32)
    recorded = np.repeat([each[2] for each in waiting], len(starts), axis=0)
    for i, (_, signal, _) in enumerate(waiting):
        for j, start in enumerate(starts):
            part = signal[:, start : start + width]
            windows[i * len(starts) + j, :, : part.shape[1]] = part
    stated = _apply(delineator, windows, recorded).reshape(len(waiting), len(starts), leads, width, -1)
    for (recording, _, whose), each in zip(waiting, stated, strict=True):
        yield describe(join_windows(each, starts, samples), whose, recording.leads, delineator)


def join_windows(stated: np.ndarray, starts: Sequence[int], samples: int) -> np.ndarray:
    """`[L, samples, outputs]` from windows `[W, L, T, outputs]`, each up to the middle of what it shares."""
    width = stated.shape[2]
    ends = [(start + before + width) // 2 for before, start in itertools.pairwise(starts)]
    edges = [0, *ends, samples]
    parts = [
        window[:, edges[i] - start : edges[i + 1] - start]
        for i, (start, window) in enumerate(zip(starts, stated, strict=True))
    ]
    return np.concatenate(parts, axis=1)


def _apply(delineator: Delineator, windows: np.ndarray, recorded: np.ndarray) -> np.ndarray:
    """Probabilities `[N, L, T, outputs]`, in batches of 1 or of `_AT_ONCE`, so that few shapes are compiled."""
    batch = 1 if len(windows) == 1 else _AT_ONCE
    rows = []
    for first in range(0, len(windows), batch):
        part, mask = windows[first : first + batch], recorded[first : first + batch]
        missing = batch - len(part)
        part, mask = np.pad(part, ((0, missing), (0, 0), (0, 0))), np.pad(mask, ((0, missing), (0, 0)))
        rows.append(np.asarray(_infer(delineator.params, part, mask))[: batch - missing])
    return np.concatenate(rows)


@functools.partial(jax.jit)
def _infer(params: Any, windows: jax.Array, recorded: jax.Array) -> jax.Array:
    outputs = params["head"]["bias"].shape[0] // 4
    return jax.nn.sigmoid(DelineationNetwork(outputs).apply({"params": params}, windows, recorded))


def describe(stated: np.ndarray, recorded: np.ndarray, leads: Sequence[str], delineator: Delineator) -> Delineation:
    """From probabilities `[L, T, 5]` (P, QRS, T, ectopic, paced) to waves."""
    located = wave_lib.locate(stated[..., :3], recorded, SAMPLING_RATE, delineator.thresholds)
    kinds = wave_lib.classify(stated[..., 3:], located["QRS"], recorded, SAMPLING_RATE)
    whole, by_lead = [], {lead: [] for lead in leads}
    for wave in WAVES:
        for i, bounds in enumerate(located[wave] + delineator.shifts[wave]):
            extra = {"kind": kinds[i]} if wave == "QRS" else {}
            onset, offset = wave_lib.span_leads(bounds)
            if not np.isfinite(onset):
                continue
            whole.append({"wave": wave, "onset": onset, "offset": offset, **extra})
            for lead, (first, last) in zip(leads, bounds.tolist(), strict=True):
                if np.isfinite(first):
                    by_lead[lead].append({"wave": wave, "onset": first, "offset": last, **extra})

    def sort(waves: list[Wave]) -> list[Wave]:
        return sorted(waves, key=lambda wave: wave["onset"])

    return Delineation(sort(whole), {lead: sort(waves) for lead, waves in by_lead.items()})
