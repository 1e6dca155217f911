"""From a model and recordings to probabilities: read in parallel, predicted in batches, bad ones set aside."""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from ecg_jax.contract import InputContract
from ecg_jax.data import quality, verify
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.preprocess import create_input, create_windows, mask_missing, trim
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import messages
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference.model import Model
from ecg_jax.recording import Recording

NO_SIGNAL = "no signal"
_LONGEST_REASON = 300  # characters
_THREADS = 4  # that read


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What became of one recording."""

    recording: str  # its name
    probabilities: np.ndarray  # `[labels]` float32, means over windows; NaN where there was no signal or an error
    raw: np.ndarray  # the same before calibration
    quality: str = ""  # what was noticed about the recording, separated by `; `
    error: str = ""  # why it could not be read
    flags: tuple[str, ...] = ()  # of its quality, see `quality.examine`
    notes: tuple[str, ...] = ()  # what its reader and the checks noticed, also in `quality`
    starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))  # `[windows]`, seconds
    windows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))  # `[windows, labels]`


_Loaded = tuple[Sequence[np.ndarray], dict[str, Any]]  # windows `[samples, leads]`, and fields of a `Prediction`


def predict(
    model: Model,
    recordings: Sequence[LazyRecording],
    *,
    batch_size: int = 32,
    checks: str = "refuse",
    whole: bool = False,
) -> Iterator[Prediction]:
    """Predicts recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        recordings: See `readers.find`.
        batch_size: Windows predicted at once.
        checks: See `verify.enforce`; a recording that is refused yields its error.
        whole: Predict all of a long recording, in windows, and one that lacks leads, with zeros. Otherwise, as in
            training, only the centre is predicted, and missing leads are an error.
    """
    trained = manifest.Trained(model.split) if model.split else None
    load = functools.partial(_load_safely, model=model, trained=trained, checks=checks, whole=whole)
    waiting: deque[tuple[str, int, dict[str, Any]]] = deque()  # names, numbers of windows, what was noticed
    signals: list[np.ndarray] = []  # windows of those that wait, not yet predicted
    raw = np.zeros((0, len(model.label_names)), np.float32)  # and predicted
    size = 0  # of batches: one shape is compiled
    for number, (windows, known) in enumerate(_read_ahead(load, recordings, batch_size), start=1):
        waiting.append((recordings[number - 1].name, len(windows), known))
        signals.extend(windows)
        while len(signals) >= batch_size or (signals and number == len(recordings)):
            size = size or min(batch_size, len(signals))
            batch = np.zeros((size, *model.contract.shape), np.float32)
            batch[: len(signals)] = signals[:size]
            raw = np.concatenate([raw, model.predict_raw(batch)[: len(signals)]])
            del signals[:size]
        while waiting and waiting[0][1] <= len(raw):
            name, count, known = waiting.popleft()
            yield _conclude(model, name, raw[:count], known)
            raw = raw[count:]


def _read_ahead(
    load: Callable[[LazyRecording], _Loaded], recordings: Sequence[LazyRecording], batch_size: int
) -> Iterator[_Loaded]:
    """Reads recordings in threads, some ahead of the one that is yielded: fewer, where they are long."""
    with ThreadPoolExecutor(_THREADS) as pool:
        ahead: deque[Future[_Loaded]] = deque()
        depth, opened = _THREADS, 0
        for number in range(len(recordings)):
            while opened < len(recordings) and opened <= number + depth:
                ahead.append(pool.submit(load, recordings[opened]))
                opened += 1
            loaded = ahead.popleft().result()
            fitting = 2 * batch_size // max(1, len(loaded[0]))  # the next ones may be as long
            depth = max(_THREADS, min(depth + 1, fitting, 4 * _THREADS))
            yield loaded


def _load_safely(lazy: LazyRecording, **how: Any) -> _Loaded:
    """One bad file ends nothing, whatever it makes a library raise."""
    try:
        return _load(lazy, **how)
    except InputError as error:
        message = " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - see above
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")[:_LONGEST_REASON]
        message = f"{lazy.name}: cannot be read ({reason})"
    return (), {"error": message}


def _load(lazy: LazyRecording, *, model: Model, trained: manifest.Trained | None, checks: str, whole: bool) -> _Loaded:
    contract = model.contract
    missing: tuple[str, ...] = ()
    recording, findings = verify.enforce(lazy.read(), checks)
    if contract.trim:
        recording = trim(recording)
    if whole or contract.has_windows:
        extended, missing = mask_missing(recording, contract.leads) if whole else (recording, ())
        signals, starts = create_windows(extended, contract)
        moves = np.array([_moves(recording, start, contract) for start in starts.tolist()])
    else:
        signals, starts, moves = create_input(recording, contract)[0][None], np.zeros(1), np.ones(1, bool)
    notes = verify.list_notes(recording, findings, checks)
    if recording.is_degenerate or not moves.any():
        return (), {"quality": "; ".join((NO_SIGNAL, *notes)), "notes": notes}
    flags = tuple(quality.examine(recording).flags)
    noticed = []
    if missing:
        listed = ", ".join(missing)
        noticed.append(f"{len(missing)} of {len(contract.leads)} leads missing ({listed}), zeros in their place")
    if not moves.all():
        noticed.append(f"{np.sum(~moves)} of {len(moves)} windows without a signal")
    if recording.gaps:
        noticed.append(f"{recording.gaps} samples masked")
    if trained and (seen := trained.find(recording)):
        noticed.append(seen)
    noticed += [*flags, *notes]
    known = {"quality": "; ".join(noticed), "flags": flags, "notes": notes, "starts": starts[moves]}
    return [*(signals if moves.all() else signals[moves])], known


def _moves(recording: Recording, start: float, contract: InputContract) -> bool:
    """Whether the recording changes inside a window itself: filters bring something in from beside it."""
    begin, end = (
        round(s * recording.sampling_rate) for s in (start, start + contract.samples / contract.sampling_rate)
    )
    part = recording.signal[begin:end, recording.lead_columns]
    return bool(np.any(part != part[:1]))


def _conclude(model: Model, name: str, raw: np.ndarray, known: dict[str, Any]) -> Prediction:
    """Means over windows, and which labels are higher in one of them."""
    if not len(raw):
        unknown = np.full(len(model.label_names), np.nan, np.float32)
        return Prediction(name, unknown, unknown, **known)
    windows = model.calibrate(raw)
    made = Prediction(name, model.combine(windows), model.combine(raw), windows=windows, **known)
    if len(windows) == 1 or model.contract.has_windows:
        return made
    highest = windows.argmax(axis=0)
    episodes = [
        f"{label} {windows[place, i]:.2f} at {made.starts[place]:.0f} s"
        for i, (label, place) in enumerate(zip(model.label_names, highest, strict=True))
        if windows[place, i] >= model.thresholds.get(label, 0.5) > made.probabilities[i]
    ]
    line = f"the probabilities are means over {len(windows)} windows"
    line += f"; highest: {', '.join(episodes)}" if episodes else ""
    return dataclasses.replace(made, quality="; ".join(filter(None, (made.quality, line))))


def predict_dataset(
    model: Model, dataset: Dataset, rows: np.ndarray, *, checks: str = "refuse", console: Console | None = None
) -> tuple[Predictions, list[str]]:
    """Predicts recordings of a data set that has the model's labels, beside their truth.

    Args:
        model: See `load_model`.
        dataset: Any with the model's labels.
        rows: Numbers of the recordings.
        checks: See `verify.enforce`; what is simulated is never refused.
        console: Where progress is shown.

    Returns:
        Predictions of the recordings that hold a signal and were not refused, with their quality flags as attribute
        `quality`; and lines on what was left out, on what was noticed, and on recordings that trained the model.

    Raises:
        InputError: when none is left.
    """
    ids = dataset.ids[rows].tolist()
    recordings = [
        LazyRecording(id, functools.partial(dataset.read, int(row))) for id, row in zip(ids, rows, strict=True)
    ]
    predicted = predict(model, recordings, checks=checks if dataset.reads_files else "warn")
    is_shown = console is not None and console.is_terminal
    made = list(track(predicted, "predicting", len(recordings), console=console, disable=not is_shown))
    lines = _describe_left_out(made)
    kept = np.array([bool(len(each.windows)) for each in made], bool)
    if not kept.any():
        raise InputError(
            f"data set {dataset.name}: no recording could be predicted ({'; '.join(lines) or 'none there'})"
        )
    rows, made = rows[kept], [each for each in made if len(each.windows)]
    lines += messages.describe([note for each in made for note in each.notes])
    seen = sum(manifest.SEEN in each.quality for each in made)
    if seen:
        lines.append(f"leak: {seen} of the {len(made)} recordings trained the model; scores of these say little")
    flags = np.array([" + ".join(each.flags) or "no flag" for each in made])
    raw = np.stack([each.raw for each in made]) if model.calibration else None
    predictions = create_predictions(dataset, rows, np.stack([each.probabilities for each in made]), raw)
    return dataclasses.replace(predictions, attributes={**predictions.attributes, "quality": flags}), lines


def _describe_left_out(made: Sequence[Prediction]) -> list[str]:
    errors = [each.error for each in made if each.error]
    silent = sum(not each.error and not len(each.windows) for each in made)
    lines = [f"left out: {len(errors)} could not be read or were refused, the first: {errors[0]}"] if errors else []
    return lines + ([f"left out: {silent} without a signal"] if silent else [])
