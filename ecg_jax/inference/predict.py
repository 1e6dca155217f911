"""From a model and recordings to probabilities: read in parallel, predicted in batches, bad ones set aside."""

import dataclasses
import functools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.progress import track

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
        probabilities: `[labels]` float32, means over windows; NaN where there was no signal or an error.
        raw: The same before calibration.
        quality: What was noticed about the recording, separated by `; `; empty if nothing.
        error: Why it could not be read; empty if it could.
        flags: Of its quality (see `quality.examine`).
        notes: What its reader and the checks noticed, also in `quality`.
        starts: `[windows]`, seconds: where each predicted part begins.
        windows: `[windows, labels]`: their probabilities.
    """

    recording: str
    probabilities: np.ndarray
    raw: np.ndarray
    quality: str = ""
    error: str = ""
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    windows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))


_Loaded = tuple[
    np.ndarray, Prediction
]  # inputs `[windows, samples, leads]`, and what is known before they are predicted


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
        threads: Threads that read ahead.
        checks: See `verify.enforce`; a recording that is refused yields its error.
        whole: Predict all of a long recording, in windows, and one that lacks leads, with zeros. Otherwise, as in
            training, only the centre is predicted, and missing leads are an error.
    """
    trained = manifest.Trained(model.split) if model.split else None
    load = functools.partial(_load_safely, model=model, trained=trained, checks=checks, whole=whole)
    waiting: deque[tuple[int, Prediction]] = deque()  # with their numbers of windows
    signals: list[np.ndarray] = []  # windows of those that wait, not yet predicted
    raw = np.zeros((0, len(model.label_names)), np.float32)  # and predicted
    size = 0  # of batches: one shape is compiled

    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Loaded]] = deque()
        depth, opened = threads, 0  # how many are read ahead: fewer, where they are long
        for number in range(len(sources)):
            while opened < len(sources) and opened <= number + depth:
                ahead.append(pool.submit(load, sources[opened]))
                opened += 1
            windows, loaded = ahead.popleft().result()
            fitting = 2 * batch_size // max(1, len(windows))
            depth = max(threads, min(depth + 1, fitting, 4 * threads))  # the next ones may be long
            waiting.append((len(windows), loaded))
            signals.extend(windows)
            is_last = number == len(sources) - 1
            while len(signals) >= batch_size or (is_last and signals):
                size = size or min(batch_size, len(signals))
                batch = np.zeros((size, *model.contract.shape), np.float32)
                batch[: len(signals)] = signals[:size]
                raw = np.concatenate([raw, model.predict_raw(batch)[: len(signals)]])
                del signals[:size]
            while waiting and waiting[0][0] <= len(raw):
                count, loaded = waiting.popleft()
                yield _conclude(model, loaded, raw[:count])
                raw = raw[count:]


def _load_safely(source: Source, model: Model, trained: manifest.Trained | None, checks: str, whole: bool) -> _Loaded:
    """One bad file ends nothing, whatever it makes a library raise."""
    try:
        return _load(source, model, trained, checks, whole)
    except InputError as error:
        message = " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - see above
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")[:_LONGEST_REASON]
        message = f"{source.name}: cannot be read ({reason})"
    return _no_windows(model), dataclasses.replace(_begin(source, model), error=message)


def _begin(source: Source, model: Model) -> Prediction:
    unknown = np.full(len(model.label_names), np.nan, np.float32)
    return Prediction(source.name, unknown, unknown)


def _no_windows(model: Model) -> np.ndarray:
    return np.zeros((0, *model.contract.shape), np.float32)


def _load(source: Source, model: Model, trained: manifest.Trained | None, checks: str, whole: bool) -> _Loaded:
    contract = model.contract
    missing: tuple[str, ...] = ()
    recording, findings = verify.enforce(source.read(), checks)
    if whole:
        extended, missing = mask_missing(recording, contract.leads)
        signals, starts = create_windows(extended, contract)
        moves = np.array([_moves(recording, start, contract) for start in starts.tolist()])
    else:
        signals, starts, moves = create_input(recording, contract)[0][None], np.zeros(1), np.ones(1, bool)
    notes = verify.list_notes(recording, findings, checks)
    begun = dataclasses.replace(_begin(source, model), notes=notes)
    if recording.is_degenerate or not moves.any():
        return _no_windows(model), dataclasses.replace(begun, quality="; ".join((NO_SIGNAL, *notes)))
    flags = tuple(quality.examine(recording).flags)
    noticed = [
        f"{len(missing)} of {len(contract.leads)} leads missing ({', '.join(missing)}), zeros in their place"
        if missing
        else "",
        f"{np.sum(~moves)} of {len(moves)} windows without a signal" if not moves.all() else "",
        f"{recording.gaps} samples masked" if recording.gaps else "",
        trained.find(recording) if trained else "",
        *flags,
        *notes,
    ]
    signals = signals if moves.all() else signals[moves]
    return signals, dataclasses.replace(
        begun, quality="; ".join(filter(None, noticed)), flags=flags, starts=starts[moves]
    )


def _moves(recording: Recording, start: float, contract: InputContract) -> bool:
    """Whether the recording changes inside a window itself: filters bring something in from beside it."""
    begin, end = (
        round(s * recording.sampling_rate) for s in (start, start + contract.samples / contract.sampling_rate)
    )
    part = recording.signal[begin:end, recording.lead_columns]
    return bool(np.any(part != part[:1]))


def _conclude(model: Model, loaded: Prediction, raw: np.ndarray) -> Prediction:
    """Means over windows, and which labels are higher in one of them."""
    if not len(raw):
        return loaded
    windows = model.calibrate(raw)
    mean = windows.mean(axis=0)
    noticed = [loaded.quality] if loaded.quality else []
    if len(windows) > 1:
        highest = windows.argmax(axis=0)
        episodes = [
            f"{name} {windows[place, i]:.2f} at {loaded.starts[place]:.0f} s"
            for i, (name, place) in enumerate(zip(model.label_names, highest, strict=True))
            if windows[place, i] >= model.thresholds.get(name, 0.5) > mean[i]
        ]
        line = f"{len(windows)} windows, whose means the probabilities are"
        noticed.append(f"{line}; highest: {', '.join(episodes)}" if episodes else line)
    return dataclasses.replace(
        loaded, probabilities=mean, raw=raw.mean(axis=0), quality="; ".join(noticed), windows=windows
    )


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
        Predictions of the recordings that hold a signal and were not refused, with their
        quality flags as attribute `quality` (`no flag`, or names); and lines on those that were
        left out, on what was noticed while they were read, and on those that trained the model.

    Raises:
        InputError: when none is left.
    """
    ids = dataset.ids[rows].tolist()
    sources = [Source(id, functools.partial(dataset.read, int(row))) for id, row in zip(ids, rows, strict=True)]
    predicted = predict(model, sources, checks=checks if dataset.reads_files else "warn")
    is_shown = console is not None and console.is_terminal
    made = list(track(predicted, "predicting", len(sources), console=console, disable=not is_shown))
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
