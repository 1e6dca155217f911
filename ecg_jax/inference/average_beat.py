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
from ecg_jax.recording import Recording
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
        InputError: see `explained.check`; for numbers; where no recording with the label is called and can be averaged;
            on recordings in several units.
    """
    explained.check(model, [label], method)
    if model.kind != FINDING:
        raise InputError(f"{label} is a number; a map is of a finding, which a recording has or has not")
    model = batches.suit_store(model, dataset.store)
    examples: dict[bool, list[_Example]] = {True: [], False: []}
    counts: Counter[bool] = Counter()
    left_out: list[str] = []
    for has_label, kept in examples.items():
        drawn = _draw(rows[dataset.columns[label][rows] == has_label], most, seed)
        recordings = batches.list_recordings(dataset, drawn)
        predictions = measured.measure_all(predict(model, recordings, whole=True, keep=True, **how))
        chosen = _choose(model, follow(predictions, len(recordings)), label, has_label, counts)
        for made in explained.explain_all(model, chosen, [label], method) if has_label else chosen:
            example = _take(model, made, explains=has_label)
            if isinstance(example, str):
                left_out.append(f"{made.recording}: {example}")
            else:
                kept.append(example)
    if not examples[True]:
        raise InputError(
            f"{dataset.name}: of {counts[True]} recordings with {label} the model calls "
            + (f"{len(left_out)}, of which none can be averaged, the first: {left_out[0]}" if left_out else "none")
        )
    called, others = examples[True], examples[False]
    if len(kinds := {each.normalized for each in called + others}) > 1:
        raise InputError(f"{dataset.name}: some recordings are in mV, some in standard deviations; they have no mean")
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
        _UNITS[kinds.pop()],
        tuple(left_out),
    )


def _choose(
    model: Model, predictions: Iterable[Prediction], label: str, has_label: bool, counts: Counter[bool]
) -> Iterator[Prediction]:
    """Of recordings with a label those that are called, else those that are not; all that have a signal are counted."""
    for made in predictions:
        counts[has_label] += bool(len(made.windows))
        if len(made.windows) and (explained.relate_to_threshold(model, made, label) >= 1) == has_label:
            yield made


class _Example(NamedTuple):
    """What is averaged of one recording."""

    beat: np.ndarray  # `[n, L]`
    values: np.ndarray  # `[n, L]` logits per second; 0 where it is not explained
    shares: np.ndarray  # `[L, 4]` likewise
    normalized: bool


def _draw(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most so many, in order."""
    return rows if len(rows) <= most else np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _take(model: Model, made: Prediction, *, explains: bool) -> _Example | str:
    """The mean beat of a recording, of one that `explains` the explained ones; or why there is none."""
    recording, rate, leads = made.ecg, model.contract.sampling_rate, model.contract.leads
    assert recording is not None, "predicted without keep"
    assert made.measured is not None, "not measured"
    if explains and not made.explanations:
        return made.quality
    begin, end = 0.0, (len(recording.signal) - 1) / recording.sampling_rate
    for found in made.explanations:
        begin, end = max(begin, found.start), min(end, found.start + (len(found.values) - 1) / rate)
    complexes = [wave for wave in made.measured.waves if wave["wave"] == "QRS"]
    [(usual, _)] = Counter(wave["kind"] for wave in complexes).most_common(1) or [("", 0)]
    onsets = [wave["onset"] for wave in complexes if wave["kind"] == usual]
    onsets = [onset for onset in onsets if begin <= onset + _EDGES[0] and onset + _EDGES[-1] <= end]
    beat = _average(align(_mask(recording, leads), recording.sampling_rate, 0.0, onsets))
    if np.isnan(beat).all():
        return "no beat is whole"
    if not explains:
        return _Example(beat, np.zeros_like(beat), np.zeros((len(leads), 4)), recording.normalized)
    [found] = made.explanations
    # Through its running sum, so that what lies between two times is not lost.
    running = np.pad(np.cumsum(found.values, axis=0, dtype=np.float64), ((1, 0), (0, 0)))
    running = align(running, rate, found.start - 0.5 / rate, onsets, _EDGES).mean(axis=0)
    values = np.diff(running, axis=0) / (TIME[1] - TIME[0])
    return _Example(beat, values, found.shares, recording.normalized)


def _mask(recording: Recording, leads: tuple[str, ...]) -> np.ndarray:
    """`[T, L]` of these leads, NaN where a recording has no signal."""
    signal = np.full((len(recording.signal), len(leads)), np.nan, np.float32)
    for column, lead in enumerate(leads):
        if lead in recording.leads:
            own = recording.leads.index(lead)
            signal[:, column] = np.where(recording.valid[:, own], recording.signal[:, own], np.nan)
    return signal


def _average(beats: np.ndarray) -> np.ndarray:
    """The mean `[n, L]` over beats `[beats, n, L]` of what is known, above their level; NaN where nothing is.

    In a lead a beat without a known level does not count.
    """
    beats = beats - beats[:, _LEVEL].mean(axis=1, keepdims=True)
    known = np.isfinite(beats)
    count = known.sum(axis=0)
    return np.where(count, np.where(known, beats, 0).sum(axis=0) / np.maximum(count, 1), np.nan).astype(np.float32)


def align(
    values: np.ndarray, sampling_rate: float, start: float, onsets: Iterable[float], time: np.ndarray = TIME
) -> np.ndarray:
    """Values `[T, L]` at times from the onsets of beats, interpolated, `[beats, n, L]`.

    `start` is the time of the first value; every beat lies within the values.
    """
    place = (np.array([*onsets])[:, None] + time - start) * sampling_rate
    before = np.clip(place.astype(int), 0, len(values) - 2)
    part = (place - before)[..., None]
    return np.asarray(values[before] * (1 - part) + values[before + 1] * part)
