"""Many recordings through one model: read in parallel, predicted in batches, bad ones set aside."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ecg_jax.data import quality, verify
from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.preprocess import create_input
from ecg_jax.data.readers import Source
from ecg_jax.data.splits import manifest
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference.model import Model

NO_SIGNAL = "no signal"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What became of one recording.

    Attributes:
        recording: Its name.
        probabilities: `[labels]` float32; NaN where there was no signal or an error.
        raw: The same before calibration.
        quality: What was noticed about the signal, separated by `; `; empty if nothing.
        error: Why it could not be read; empty if it could.
        flags: Of its quality (see `quality.examine`).
    """

    recording: str
    probabilities: np.ndarray
    raw: np.ndarray
    quality: str
    error: str = ""
    flags: tuple[str, ...] = ()


def predict(
    model: Model, sources: Sequence[Source], *, batch_size: int = 32, threads: int = 4, checks: str = "refuse"
) -> Iterator[Prediction]:
    """Predicts recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        sources: See `readers.find`.
        batch_size: Recordings predicted at once.
        threads: That read ahead.
        checks: See `verify.enforce`; a recording that is refused yields its error.
    """
    blank = np.full(len(model.label_names), np.nan, np.float32)
    trained = manifest.Trained(model.split) if model.split else None

    def load(source: Source) -> tuple[np.ndarray, str, str, tuple[str, ...]]:
        try:
            recording, findings = verify.enforce(source.read(), checks)
            signal, _ = create_input(recording, model.contract)
        except InputError as error:
            return np.zeros(model.contract.shape, np.float32), "", " ".join(str(error).split()), ()
        if recording.is_degenerate:
            return signal, NO_SIGNAL, "", ()
        flags = tuple(quality.examine(recording).flags)
        noticed = [
            f"{recording.gaps} samples masked" if recording.gaps else "",
            trained.find(recording) if trained else "",
            *flags,
            *((f"repaired: {found.message}" if checks == "repair" else found.message) for found in findings),
        ]
        return signal, "; ".join(filter(None, noticed)), "", flags

    with ThreadPoolExecutor(threads) as pool:
        chunks = [sources[i : i + batch_size] for i in range(0, len(sources), batch_size)]
        pending = [pool.submit(load, source) for source in chunks[0]] if chunks else []
        for number, chunk in enumerate(chunks):
            loaded = [future.result() for future in pending]
            following = chunks[number + 1] if number + 1 < len(chunks) else []
            pending = [pool.submit(load, source) for source in following]
            signal = np.zeros((min(batch_size, len(sources)), *model.contract.shape), np.float32)
            for i, (example, *_) in enumerate(loaded):
                signal[i] = example
            raw = model.predict_raw(signal)
            probabilities = model.calibrate(raw)
            for i, (source, (_, seen, error, flags)) in enumerate(zip(chunk, loaded, strict=True)):
                known = not error and seen != NO_SIGNAL
                yield Prediction(
                    source.name, probabilities[i] if known else blank, raw[i] if known else blank, seen, error, flags
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
        left out, and on those that trained the model.

    Raises:
        InputError: when none is left.
    """
    ids = dataset.ids[rows].tolist()
    sources = [Source(id, functools.partial(dataset.read, int(row))) for id, row in zip(ids, rows, strict=True)]
    checks = checks if dataset.reads_files else "warn"
    made = list(progress(predict(model, sources, batch_size=batch_size, checks=checks), len(sources)))
    kept = np.array([not each.error and each.quality != NO_SIGNAL for each in made], bool)
    lines = _describe_left_out(made)
    if not kept.any():
        raise InputError(
            f"data set {dataset.name}: no recording could be predicted ({'; '.join(lines) or 'none there'})"
        )
    rows, made = rows[kept], [each for each, is_kept in zip(made, kept, strict=True) if is_kept]
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
    silent = sum(each.quality == NO_SIGNAL for each in made)
    lines = [f"left out: {len(errors)} could not be read or were refused, the first: {errors[0]}"] if errors else []
    return lines + ([f"left out: {silent} without a signal"] if silent else [])
