"""The columns of a table of predictions: of each recording its name, numbers, and `quality`."""

from collections.abc import Sequence

from ecg_jax.data import prediction_tables
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction
from ecg_jax.kinds import FINDING


def name_columns(model: Model, measurements: Sequence[str]) -> list[str]:
    """See `prediction_tables.name_columns`; of findings there are columns before calibration, too."""
    return prediction_tables.name_columns(model.label_names, model.kind == FINDING, measurements)


def list_numbers(model: Model, made: Prediction, measurements: Sequence[str]) -> list[float]:
    """The numbers between the first and the last of these columns, NaN where unknown."""
    known = made.measured.measurements if made.measured else {}
    raw = made.raw.tolist() if model.kind == FINDING else []
    return [*made.probabilities.tolist(), *raw, *(known.get(name, float("nan")) for name in measurements)]
