"""What a model answers while one parameter of simulated ECGs moves and all else stays: dose and response.

Each patient is recorded at every dose, with the same beats' shapes and the same noise. The mean curve over patients
crosses the model's threshold, and one half, at a dose that is compared with the guideline's.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np
import pandas as pd

from ecg_jax.data.readers import LazyRecording
from ecg_jax.errors import InputError
from ecg_jax.evaluation import resampling
from ecg_jax.inference import predict
from ecg_jax.inference.model import Model
from ecg_jax.kinds import NUMBER
from ecg_jax.recording import LEADS, Recording, create_recording
from ecg_jax.simulation import SAMPLING_RATE, criteria, doses
from ecg_jax.simulation.doses import Dose
from ecg_jax.simulation.simulator import Simulated

_RESAMPLES = 2000
_MOST = 9  # outputs that are shown of a model that knows none of the labels of a dose
_HALF = 0.5


@dataclasses.dataclass(frozen=True)
class Response:
    """What a model answers to the doses."""

    dose: Dose
    labels: tuple[str, ...]
    thresholds: dict[str, float]  # of the model, by label
    probabilities: np.ndarray  # `[patients, values, labels]`, calibrated
    stated: np.ndarray  # `[patients, values, labels]`, 1 where a simulated reader states it; NaN where readers never do


def find_dose(name: str) -> Dose:
    """The dose of this name; `InputError` lists those that there are."""
    if name not in doses.DOSES:
        known = "; ".join(f"{key} ({dose.title})" for key, dose in doses.DOSES.items())
        raise InputError(f"{name!r} is no dose; known: {known}")
    return doses.DOSES[name]


def choose_labels(model: Model, dose: Dose) -> tuple[str, ...]:
    """The model's labels that the dose decides; all of them, where it has none of these and few others.

    Raises:
        InputError: where there are many others, or they are numbers.
    """
    if model.kind == NUMBER:
        raise InputError(f"{model.title}: {', '.join(model.label_names)} are numbers; a dose moves probabilities")
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
        InputError: on labels that the model does not have, or where it cannot predict these ECGs.
    """
    names = tuple(labels) or choose_labels(model, dose)
    if unknown := [name for name in names if name not in model.label_names]:
        raise InputError(f"{model.title} has no label {', '.join(unknown)}; it has {', '.join(model.label_names)}")
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


def tabulate_curves(response: Response) -> pd.DataFrame:
    """A row per label and dose.

    Columns: `label`, `dose` in its unit, `mean` over patients with its 95 % bootstrap interval (`mean_low`,
    `mean_high`), the 10th and the 90th percentile of patients (`tenth`, `ninetieth`), and `stated`, the share of
    patients of whom a simulated reader states the label.
    """
    tables = []
    for i, name in enumerate(response.labels):
        each = response.probabilities[..., i]
        low, high = np.quantile(_resample_means(each), (0.025, 0.975), axis=1)
        tenth, ninetieth = np.quantile(each, (0.1, 0.9), axis=0)
        columns = {"label": name, "dose": response.dose.values, "mean": each.mean(axis=0), "mean_low": low}
        columns |= {"mean_high": high, "tenth": tenth, "ninetieth": ninetieth}
        tables.append(pd.DataFrame(columns | {"stated": response.stated[..., i].mean(axis=0)}))
    return pd.concat(tables, ignore_index=True)


def tabulate_crossings(response: Response) -> pd.DataFrame:
    """Where mean curves cross: a row per label and level, which is the model's threshold, or one half.

    Columns: `label`, `level` in words, `probability`, `crossing` with its 95 % bootstrap interval (`crossing_low`,
    `crossing_high`), infinite beyond `first_dose` and `last_dose`; `readers`, where the readers' share crosses
    one half; `limits` of the guideline; and `difference` of the crossing from the nearest of them, 0 between them. NaN
    stands for no criterion.
    """
    values, rows = np.array(response.dose.values), []
    for i, name in enumerate(response.labels):
        criterion = response.dose.criteria.get(name)
        rises = criterion is None or criterion.rises
        limits = criterion.limits if criterion else (np.nan,)
        each = response.probabilities[..., i]
        means, resampled = each.mean(axis=0)[:, None], _resample_means(each)
        [readers] = find_crossings(values, response.stated[..., i].mean(axis=0)[:, None], _HALF, rises)
        levels = {"threshold": response.thresholds.get(name), "one half": _HALF}
        for words, level in levels.items():
            if level is None:
                continue
            [crossing] = find_crossings(values, means, level, rises)
            spread = find_crossings(values, resampled, level, rises)
            low, high = np.quantile(spread, (0.025, 0.975), method="inverted_cdf")
            row = {"label": name, "level": words, "probability": level, "crossing": crossing, "crossing_low": low}
            row |= {"crossing_high": high, "first_dose": values[0], "last_dose": values[-1]}
            row |= {"readers": readers, "limits": limits}
            rows.append(row | {"difference": crossing - np.clip(crossing, limits[0], limits[-1])})
    return pd.DataFrame(rows)


def find_crossings(values: np.ndarray, curves: np.ndarray, level: float, rises: bool = True) -> np.ndarray:
    """Doses at which curves first reach a level, `[R]`, between neighbouring doses by a straight line.

    Infinite where one never does, and with the other sign where it does so from the first dose on.

    Args:
        values: `[D]`, rising.
        curves: `[D, R]`; one with NaN crosses nowhere, NaN.
        level: To reach.
        rises: Whether doses are followed upwards, or downwards from the last.
    """
    if not rises:
        return -find_crossings(-values[::-1], curves[::-1], level)
    is_above = curves >= level
    after = is_above.argmax(axis=0)
    before = np.maximum(after - 1, 0)
    column = np.arange(curves.shape[1])
    low, high = curves[before, column], curves[after, column]
    share = (level - low) / np.where(high > low, high - low, 1.0)
    found = np.where(after > 0, values[before] + share * (values[after] - values[before]), -np.inf)
    found = np.where(is_above.any(axis=0), found, np.inf)
    return np.where(np.isnan(curves).any(axis=0), np.nan, found)


def _resample_means(each: np.ndarray) -> np.ndarray:
    """Mean curves of resampled patients, `[D, R]`, of `[patients, D]`."""
    exact = each.T.astype(np.float64)
    design = resampling.create_design(len(each))
    return resampling.resample(lambda weights: exact @ weights / len(each), design, _RESAMPLES, seed=0)
