"""From a model and recordings to probabilities, those of windows combined."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from ecg_jax.data.datasets.dataset import Dataset, create_predictions
from ecg_jax.data.readers import LazyRecording
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import messages
from ecg_jax.errors import InputError
from ecg_jax.evaluation.left_out import LeftOut
from ecg_jax.evaluation.left_out import describe as describe_left_out
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.inference import batches
from ecg_jax.inference.model import Model
from ecg_jax.kinds import NUMBER
from ecg_jax.recording import Recording

if TYPE_CHECKING:
    from ecg_jax.reporting.ecg_shade import Explanation


@dataclasses.dataclass(frozen=True)
class Measured:
    """Waves and intervals of one recording; see `measured.measure_all`."""

    measurements: dict[str, float]  # medians over beats by name, see `measured.UNITS`; NaN where unknown
    waves: list[dict[str, Any]]  # see `explanation.delineation.Delineation`
    waves_by_lead: dict[str, list[dict[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What became of one recording."""

    recording: str  # its name
    probabilities: np.ndarray  # `[labels]` float32, means over windows; NaN where there was no signal or an error
    raw: np.ndarray  # the same before calibration
    quality: str = ""  # what was noticed about the recording, separated by `; `
    error: str = ""  # why it could not be read
    flags: tuple[str, ...] = ()  # of its quality, see `quality.find_flags`
    defects: tuple[str, ...] = ()  # these, and what is missing, also in `quality`
    notes: tuple[str, ...] = ()  # what its reader and the checks noticed, also in `quality`
    starts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))  # `[windows]`, seconds
    windows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))  # `[windows, labels]`
    ecg: Recording | None = None  # what was predicted, where it is kept and could be read
    measured: Measured | None = None  # where it was asked for
    explanations: "tuple[Explanation, ...]" = ()  # see `explained.explain_all`


def predict(
    model: Model,
    recordings: Sequence[LazyRecording],
    *,
    batch_size: int = 32,
    checks: str = "refuse",
    whole: bool = False,
    keep: bool = False,
    processes: bool = True,
) -> Iterator[Prediction]:
    """Predicts recordings in order; one that cannot be read yields its error.

    Args:
        model: See `load_model`.
        recordings: See `readers.find`.
        batch_size: Windows predicted at once.
        checks: See `verify.enforce`; a recording that is refused yields its error.
        whole: Predict all of a long recording, in windows, and one that lacks leads, with zeros. Otherwise, as in
            training, only the centre is predicted, and missing leads are an error.
        keep: Keep the recordings too, as `Prediction.ecg`.
        processes: See `batches.apply`.
    """
    how: Any = {"batch_size": batch_size, "checks": checks, "whole": whole, "keep": keep, "processes": processes}
    for name, logits, known in batches.apply(model.start, model, recordings, **how):
        yield _conclude(model, name, logits, known)


def _conclude(model: Model, name: str, logits: np.ndarray, known: dict[str, Any]) -> Prediction:
    """Means over windows, and which labels are higher in one of them."""
    if not len(logits):
        unknown = np.full(len(model.label_names), np.nan, np.float32)
        return Prediction(name, unknown, unknown, **known)
    raw = model.finish(logits)
    windows = model.calibrate(raw)
    made = Prediction(name, model.combine(windows), model.combine(raw), windows=windows, **known)
    if len(windows) == 1 or model.contract.has_windows:
        return made
    if model.kind == NUMBER:
        line = f"the values are means over {len(windows)} windows"
        return dataclasses.replace(made, quality="; ".join(filter(None, (made.quality, line))))
    highest = windows.argmax(axis=0)
    episodes = [
        f"{label} {windows[place, i]:.2f} at {made.starts[place]:.0f} s"
        for i, (label, place) in enumerate(zip(model.label_names, highest, strict=True))
        if windows[place, i] >= model.thresholds.get(label, 0.5) > made.probabilities[i]
    ]
    line = f"the probabilities are means over {len(windows)} windows"
    line += f"; highest: {', '.join(episodes)}" if episodes else ""
    return dataclasses.replace(made, quality="; ".join(filter(None, (made.quality, line))))


def find_highest(model: Model, made: Prediction, label: str = "") -> float:
    """Seconds at which the window begins in which a label is the highest, without one any label; 0 without windows."""
    if not len(made.windows):
        return 0.0
    values = made.windows[:, model.label_names.index(label)] if label else made.windows.max(axis=1)
    return float(made.starts[values.argmax()])


def predict_dataset(
    model: Model, dataset: Dataset, rows: np.ndarray, *, checks: str = "refuse", console: Console | None = None
) -> tuple[Predictions, list[LeftOut], list[str]]:
    """Predicts recordings of a data set that has the model's labels, beside their truth.

    Args:
        model: See `load_model`.
        dataset: Any with the model's labels.
        rows: Numbers of the recordings.
        checks: See `verify.enforce`; what is simulated is never refused.
        console: Where progress is shown.

    Returns:
        Predictions of the recordings that hold a signal and were not refused, with their quality flags as attribute
        `quality`; the others; and lines on what was noticed, and on recordings that trained the model.

    Raises:
        InputError: when none is left.
    """
    model, recordings = batches.suit_store(model, dataset.store), batches.list_recordings(dataset, rows)
    predicted = predict(model, recordings, checks=checks if dataset.reads_files else "warn")
    is_shown = console is not None and console.is_terminal
    made = list(track(predicted, "predicting", len(recordings), console=console, disable=not is_shown))
    left_out = [
        LeftOut(each.recording, each.error or each.quality, is_broken=bool(each.error))
        for each in made
        if not len(each.windows)
    ]
    if len(left_out) == len(made):
        lines = describe_left_out(left_out, f"{len(made)} recordings")
        raise InputError(
            f"data set {dataset.name}: no recording could be predicted ({'; '.join(lines) or 'none there'})"
        )
    kept = np.array([bool(len(each.windows)) for each in made])
    rows, made = rows[kept], [each for each in made if len(each.windows)]
    lines = messages.describe([note for each in made for note in each.notes])
    seen = sum(manifest.SEEN in each.quality for each in made)
    if seen:
        lines.append(f"leak: {seen} of the {len(made)} recordings trained the model; scores of these say little")
    flags = np.array([" + ".join(each.flags) or "no flag" for each in made])
    raw = np.stack([each.raw for each in made]) if model.calibration else None
    predictions = create_predictions(dataset, rows, np.stack([each.probabilities for each in made]), raw)
    return dataclasses.replace(predictions, attributes={**predictions.attributes, "quality": flags}), left_out, lines
