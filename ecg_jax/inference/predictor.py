"""Many recordings through one model: read in parallel, predicted in batches, bad ones set aside."""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data import quality, verify
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.preprocess import create_input, create_windows, mask_missing
from ecg_jax.data.readers import Source
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import messages
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference.model import Model
from ecg_jax.recording import Recording

NO_SIGNAL = "no signal"
_LONGEST_REASON = 300  # characters


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What became of one recording.

    Attributes:
        recording: Its name.
        probabilities: `[labels]` float32; NaN where there was no signal or an error. Of a recording of several windows
            the means.
        raw: The same before calibration.
        quality: What was noticed about the recording, separated by `; `; empty if nothing.
        error: Why it could not be read; empty if it could.
        flags: Of its quality (see `quality.examine`).
        notes: What its reader and the checks noticed, also in `quality`.
        starts: `[windows]`, seconds: where each part that was predicted begins.
        windows: `[windows, labels]`: their probabilities.
    """

    recording: str
    probabilities: np.ndarray
    raw: np.ndarray
    quality: str
    error: str = ""
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    windows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))


@dataclasses.dataclass(frozen=True)
class _Loaded:
    """A recording as the network eats it: `signals` `[windows, samples, leads]`, none where it cannot be predicted."""

    signals: np.ndarray
    starts: np.ndarray
    noticed: tuple[str, ...] = ()
    error: str = ""
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def predict(
    model: Model,
    sources: Sequence[Source],
    *,
    batch_size: int = 32,
    threads: int = 4,
    checks: str = "refuse",
    whole: bool = False,
) -> Iterator[Prediction]:
    """Predicts recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        sources: See `readers.find`.
        batch_size: Windows predicted at once.
        threads: That read ahead.
        checks: See `verify.enforce`; a recording that is refused yields its error.
        whole: Predict all of a long recording, in windows, and one that lacks leads, as zeros; otherwise, as in
            training, the centre of the one, and the other yields an error.
    """
    trained = manifest.Trained(model.split) if model.split else None
    load = functools.partial(_load_safely, model=model, trained=trained, checks=checks, whole=whole)
    waiting: deque[tuple[Source, _Loaded]] = deque()
    signals: list[np.ndarray] = []  # windows of those that wait, not yet predicted
    raw = np.zeros((0, len(model.label_names)), np.float32)  # and predicted
    size = 0  # of batches: one shape is compiled

    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Loaded]] = deque()
        depth, opened = threads, 0  # how many are read ahead: fewer, where they are long
        for number, source in enumerate(sources):
            while opened < len(sources) and opened <= number + depth:
                ahead.append(pool.submit(load, sources[opened]))
                opened += 1
            loaded = ahead.popleft().result()
            fitting = 2 * batch_size // max(1, len(loaded.signals))
            depth = max(threads, min(depth + 1, fitting, 4 * threads))  # the next ones may be long
            waiting.append((source, loaded))
            signals.extend(loaded.signals)
            is_last = number == len(sources) - 1
            while len(signals) >= batch_size or (is_last and signals):
                size = size or min(batch_size, len(signals))
                batch = np.zeros((size, *model.contract.shape), np.float32)
                batch[: len(signals)] = signals[:size]
                raw = np.concatenate([raw, model.predict_raw(batch)[: len(signals)]])
                del signals[:size]
            while waiting and len(waiting[0][1].signals) <= len(raw):
                source, loaded = waiting.popleft()
                count = len(loaded.signals)
                yield _conclude(model, source, loaded, raw[:count])
                raw = raw[count:]


def _load_safely(source: Source, **how: Any) -> _Loaded:
    """One bad file ends nothing, whatever it makes a library raise."""
    try:
        return _load(source, **how)
    except Exception as error:  # noqa: BLE001 - see above
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")[:_LONGEST_REASON]
        message = f"{source.name}: cannot be read ({reason})"
        return _Loaded(np.zeros((0, *how["model"].contract.shape), np.float32), np.zeros(0), error=message)


def _load(source: Source, *, model: Model, trained: manifest.Trained | None, checks: str, whole: bool) -> _Loaded:
    nothing = np.zeros((0, *model.contract.shape), np.float32), np.zeros(0)
    missing: tuple[str, ...] = ()
    try:
        recording, findings = verify.enforce(source.read(), checks)
        if whole:
            extended, missing = mask_missing(recording, model.contract.leads)
            signals, starts = create_windows(extended, model.contract)
        else:
            signals, starts = create_input(recording, model.contract)[0][None], np.zeros(1)
    except InputError as error:
        return _Loaded(*nothing, error=" ".join(str(error).split()))
    notes = verify.list_notes(recording, findings, checks)
    moves = np.array([not whole or _moves(recording, start, model.contract) for start in starts.tolist()])
    if recording.is_degenerate or not moves.any():
        return _Loaded(*nothing, noticed=(NO_SIGNAL, *notes), notes=notes)
    flags = tuple(quality.examine(recording).flags)
    noticed = [
        f"{len(missing)} of {len(model.contract.leads)} leads missing ({', '.join(missing)}), zeros in their place"
        if missing
        else "",
        f"{np.sum(~moves)} of {len(moves)} windows without a signal" if not moves.all() else "",
        f"{recording.gaps} samples masked" if recording.gaps else "",
        trained.find(recording) if trained else "",
        *flags,
        *notes,
    ]
    signals = signals if moves.all() else signals[moves]
    return _Loaded(signals, starts[moves], tuple(filter(None, noticed)), flags=flags, notes=notes)


def _moves(recording: Recording, start: float, contract: InputContract) -> bool:
    """Whether the recording moves where a window is: filters bring something in from beside it."""
    begin, end = (
        round(s * recording.sampling_rate) for s in (start, start + contract.samples / contract.sampling_rate)
    )
    part = recording.signal[begin:end, recording.lead_columns]
    return bool(np.any(part != part[:1]))


def _conclude(model: Model, source: Source, loaded: _Loaded, raw: np.ndarray) -> Prediction:
    """Means over windows, and which label is higher in one of them."""
    blank = np.full(len(model.label_names), np.nan, np.float32)
    if not len(raw):
        quality_text = "; ".join(loaded.noticed)
        return Prediction(source.name, blank, blank, quality_text, loaded.error, loaded.flags, loaded.notes)
    windows = model.calibrate(raw)
    mean = windows.mean(axis=0)
    noticed = list(loaded.noticed)
    if len(windows) > 1:
        highest = windows.argmax(axis=0)
        episodes = [
            f"{name} {windows[place, i]:.2f} at {loaded.starts[place]:.0f} s"
            for i, (name, place) in enumerate(zip(model.label_names, highest, strict=True))
            if windows[place, i] >= model.thresholds.get(name, 0.5) > mean[i]
        ]
        told = f"{len(windows)} windows, whose means the probabilities are"
        noticed.append(f"{told}; highest: {', '.join(episodes)}" if episodes else told)
    return Prediction(
        source.name,
        mean,
        raw.mean(axis=0),
        "; ".join(noticed),
        flags=loaded.flags,
        notes=loaded.notes,
        starts=loaded.starts,
        windows=windows,
    )


def predict_dataset(
    model: Model,
    dataset: Dataset,
    rows: np.ndarray,
    *,
    checks: str = "refuse",
    batch_size: int = 32,
    progress: Callable[[Iterable[Prediction], int], Iterable[Prediction]] = lambda made, _: made,
) -> tuple[Predictions, list[str]]:
    """Predicts recordings of a data set that has the model's labels, beside their truth.

    Args:
        model: See `load_model`.
        dataset: Any; its labels are the model's.
        rows: Numbers of the recordings.
        checks: See `verify.enforce`; what is simulated is never refused.
        batch_size: Recordings predicted at once.
        progress: Wraps the predictions while they are made, and is told how many there will be.

    Returns:
        Predictions of the recordings that hold a signal and were not refused, with their
        quality flags as attribute `quality` (`no flag`, or names); and lines on those that were
        left out, on what was noticed while they were read, and on those that trained the model.

    Raises:
        InputError: when none is left.
    """
    ids = dataset.ids[rows].tolist()
    sources = [Source(id, functools.partial(dataset.read, int(row))) for id, row in zip(ids, rows, strict=True)]
    checks = checks if dataset.reads_files else "warn"
    made = list(progress(predict(model, sources, batch_size=batch_size, checks=checks), len(sources)))
    kept = np.array([bool(len(each.windows)) for each in made], bool)
    lines = _describe_left_out(made)
    if not kept.any():
        raise InputError(
            f"data set {dataset.name}: no recording could be predicted ({'; '.join(lines) or 'none there'})"
        )
    rows, made = rows[kept], [each for each, is_kept in zip(made, kept, strict=True) if is_kept]
    lines += messages.describe([note for each in made for note in each.notes])
    seen = sum(manifest.SEEN in each.quality for each in made)
    if seen:
        lines.append(f"leak: {seen} of the {len(made)} recordings trained the model; scores of these say little")
    flags = np.array([" + ".join(each.flags) or "no flag" for each in made])
    raw = np.stack([each.raw for each in made]) if model.calibration else None
    predictions = create_predictions(dataset, rows, np.stack([each.probabilities for each in made]), raw)
    predictions = dataclasses.replace(predictions, attributes={**predictions.attributes, "quality": flags})
    return predictions, lines


def _describe_left_out(made: Sequence[Prediction]) -> list[str]:
    errors = [each.error for each in made if each.error]
    silent = sum(not each.error and not len(each.windows) for each in made)
    lines = [f"left out: {len(errors)} could not be read or were refused, the first: {errors[0]}"] if errors else []
    return lines + ([f"left out: {silent} without a signal"] if silent else [])
