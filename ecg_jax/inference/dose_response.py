"""What a model answers while one parameter of simulated ECGs moves and all else stays.

Each patient is recorded at every dose, with the same beats' shapes and the same noise; for tables see `dose_curves`.
"""

import os
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
import pandas as pd

from ecg_jax import files
from ecg_jax.data.readers import LazyRecording
from ecg_jax.errors import InputError, suggest
from ecg_jax.inference import dose_curves, predict
from ecg_jax.inference.dose_curves import Response
from ecg_jax.inference.model import Model
from ecg_jax.kinds import NUMBER
from ecg_jax.recording import LEADS, Recording, create_recording
from ecg_jax.reporting import dose_figure
from ecg_jax.simulation import SAMPLING_RATE, criteria, doses
from ecg_jax.simulation.doses import Dose
from ecg_jax.simulation.simulator import Simulated

_MOST = 9  # outputs that are shown of a model that knows none of the labels of a dose


def choose_labels(model: Model, dose: Dose) -> tuple[str, ...]:
    """The model's labels that the dose decides; all of them, where it has none of these and few others.

    Raises:
        InputError: where there are many others.
    """
    found = tuple(name for name in dose.criteria if name in model.label_names)
    if not found and len(model.label_names) > _MOST:
        raise InputError(f"{model.title}: none of its {len(model.label_names)} labels is {', '.join(dose.criteria)}")
    return found or model.label_names


def respond(
    model: Model,
    dose: Dose,
    *,
    patients: int = 64,
    seed: int = 0,
    labels: Sequence[str] = (),
    batch_size: int = 32,
    follow: Callable[[Sequence[float]], Iterable[float]] = iter,
) -> Response:
    """Predicts patients at each dose, as the command `predict` does.

    Args:
        model: See `load_model`.
        dose: One of `doses.DOSES`.
        patients: How many, at least 1.
        seed: Of the patients.
        labels: Of the model; see `choose_labels` where there are none.
        batch_size: Windows predicted at once.
        follow: Wraps the doses in a display of progress.

    Raises:
        InputError: on labels that the model does not have, where these are numbers, or where it cannot predict these
            ECGs.
    """
    if model.kind == NUMBER:
        raise InputError(
            f"{model.title}: its outputs ({', '.join(model.label_names)}) are numbers; a dose moves probabilities"
        )
    names = tuple(labels) or choose_labels(model, dose)
    if unknown := [name for name in names if name not in model.label_names]:
        offered = ", ".join(model.label_names) + suggest(unknown[0], model.label_names)
        raise InputError(f"{model.title} has no label {', '.join(unknown)}; it has {offered}")
    places = [model.label_names.index(name) for name in names]
    keys = jax.random.split(jax.random.key(seed), patients)
    probabilities, stated = [], []
    for value in follow(dose.values):
        drawn = jax.device_get(doses.draw(dose, value, keys))
        known = criteria.derive(drawn.truth["stated"])
        probabilities.append(_predict(model, drawn, batch_size)[:, places])
        stated.append(np.stack([known.get(name, np.full(patients, np.nan)) for name in names], axis=-1))
    thresholds = {name: model.thresholds[name] for name in names if name in model.thresholds}
    return Response(dose, names, thresholds, np.stack(probabilities, axis=1), np.stack(stated, axis=1))


def write(response: Response, caption: str, path: str) -> pd.DataFrame:
    """Draws the figure, and writes its curves beside it as a CSV; returns `dose_curves.tabulate_crossings`."""
    curves, crossings = dose_curves.tabulate_curves(response), dose_curves.tabulate_crossings(response)
    dose_figure.draw(curves, crossings, f"{response.dose.title} ({response.dose.unit})", caption, path)
    with files.replacing(f"{os.path.splitext(path)[0]}.csv", "w") as file:
        curves.to_csv(file, index=False, float_format="%.6g")
    return crossings


def create_recordings(drawn: Simulated) -> list[Recording]:
    """The recordings of several patients."""
    return [
        create_recording(signal[here], leads=LEADS, sampling_rate=SAMPLING_RATE, id=f"patient {i}")
        for i, (signal, here) in enumerate(zip(drawn.signal, drawn.valid, strict=True))
    ]


def _predict(model: Model, drawn: Simulated, batch_size: int) -> np.ndarray:
    lazy = [
        LazyRecording(each.id, lambda each=each: each)  # type: ignore[misc]
        for each in create_recordings(drawn)
    ]
    made = list(predict.predict(model, lazy, batch_size=batch_size, checks="warn", whole=True))
    if errors := [each.error for each in made if each.error]:
        raise InputError(errors[0])
    return np.stack([each.probabilities for each in made])
