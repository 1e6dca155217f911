"""The average beat of a label over a data set, and what speaks for the label in it."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.inference import batches, explained, measured
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction, predict
from ecg_jax.kinds import FINDING
from ecg_jax.reporting.beat_map import BeatMap

TIME = np.arange(-75, 151) / 250  # seconds from the onset of QRS
_EDGES = (np.arange(-75, 152) - 0.5) / 250  # between them
_LEVEL = (TIME >= -0.02) & (TIME <= 0)  # whose mean is 0
_UNITS = {False: "mV", True: "standard deviations"}

Follow = Callable[[Iterator[Prediction], int], Iterable[Prediction]]


def average(
    model: Model,
    dataset: Dataset,
    rows: np.ndarray,
    label: str,
    method: str = explained.DEFAULT,
    *,
    most: int = 200,
    seed: int = 0,
    follow: Follow = lambda predictions, count: predictions,
    **how: Any,
) -> BeatMap:
    """Averages recordings with a label that the model calls, and beside them those without that it does not call.

    Args:
        model: See `load_model`.
        dataset: With the label.
        rows: Numbers of the recordings to choose from.
        label: One of the model's.
        method: One of `explanation.methods.METHODS`.
        most: Recordings at most with the label, and without; drawn with `seed` from more.
        seed: See `most`.
        follow: Shows progress over predictions, of which there will be so many.
        **how: `batch_size` and `checks`, see `predict`.

    Raises:
        InputError: see `explained.check`; for numbers; where no recording with the label is called.
    """
    explained.check(model, [label], method)
    if model.kind != FINDING:
        raise InputError(f"{label} is a number; a map is of a finding, which a recording has or has not")
    model = batches.suit_store(model, dataset.store)
    examples: dict[bool, list[_Example]] = {True: [], False: []}
    counts: Counter[bool] = Counter()
    for has_label, kept in examples.items():
        drawn = _draw(rows[dataset.columns[label][rows] == has_label], most, seed)
        recordings = batches.list_recordings(dataset, drawn)
        predictions = measured.measure_all(predict(model, recordings, whole=True, keep=True, **how))
        for made in follow(predictions, len(recordings)):
            counts[has_label] += bool(len(made.windows))
            if len(made.windows) and (explained.relate_to_threshold(model, made, label) >= 1) == has_label:
                kept += _take(model, made, label, method if has_label else None)
    if not examples[True]:
        raise InputError(f"{dataset.name}: of {counts[True]} recordings with {label} the model calls none")
    called, others = examples[True], examples[False]
    return BeatMap(
        label,
        method,
        dataset.name,
        TIME,
        model.contract.leads,
        np.stack([each.beat for each in called]),
        np.stack([each.beat for each in others]) if others else np.zeros((0, *called[0].beat.shape), np.float32),
        np.mean([each.values for each in called], axis=0),
        np.mean([each.shares for each in called], axis=0),
        (counts[True], counts[False]),
        _UNITS[called[0].normalized],
    )


class _Example(NamedTuple):
    """What is averaged of one recording."""

    beat: np.ndarray  # `[n, L]`
    values: np.ndarray  # `[n, L]` logits per second; 0 where it is not explained
    shares: np.ndarray  # `[L, 4]` likewise
    normalized: bool


def _draw(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many, in order."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _take(model: Model, made: Prediction, label: str, method: str | None) -> list[_Example]:
    """The mean beat of a recording, with a method the explained ones; nothing where no beat is whole."""
    recording, rate, leads = made.ecg, model.contract.sampling_rate, model.contract.leads
    assert recording is not None, "predicted without keep"
    assert made.measured is not None, "not measured"
    begin, end = 0.0, len(recording.signal) / recording.sampling_rate
    explanation = explained.explain(model, made, [label], method)[0] if method else None
    if explanation is not None:
        begin, end = max(begin, explanation.start), min(end, explanation.start + len(explanation.values) / rate)
    complexes = [wave for wave in made.measured.waves if wave["wave"] == "QRS"]
    [(usual, _)] = Counter(wave["kind"] for wave in complexes).most_common(1) or [("", 0)]
    onsets = [wave["onset"] for wave in complexes if wave["kind"] == usual]
    onsets = [onset for onset in onsets if begin <= onset + TIME[0] and onset + TIME[-1] < end - 1 / rate]
    if not onsets:
        return []
    signal = np.full((len(recording.signal), len(leads)), np.nan, np.float32)
    for column, lead in enumerate(leads):
        if lead in recording.leads:
            own = recording.leads.index(lead)
            signal[:, column] = np.where(recording.valid[:, own], recording.signal[:, own], np.nan)
    beat = align(signal, recording.sampling_rate, 0.0, onsets)
    beat -= beat[_LEVEL].mean(axis=0)
    if explanation is None:
        return [_Example(beat, np.zeros_like(beat), np.zeros((len(leads), 4)), recording.normalized)]
    # Through its running sum, so that what lies between two times is not lost.
    running = np.pad(np.cumsum(explanation.values, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    running = align(running, rate, explanation.start - 0.5 / rate, onsets, _EDGES)
    values = np.diff(running, axis=0) / (TIME[1] - TIME[0])
    return [_Example(beat, values, explanation.shares, recording.normalized)]


def align(
    values: np.ndarray, sampling_rate: float, start: float, onsets: Iterable[float], time: np.ndarray = TIME
) -> np.ndarray:
    """The mean over beats of `[T, L]` values at times from their onsets, interpolated, `[n, L]`.

    `start` is the time of the first value; every beat lies within the values.
    """
    place = (np.array([*onsets])[:, None] + time - start) * sampling_rate
    before = np.clip(place.astype(int), 0, len(values) - 2)
    part = (place - before)[..., None]
    return np.asarray((values[before] * (1 - part) + values[before + 1] * part).mean(axis=0))
