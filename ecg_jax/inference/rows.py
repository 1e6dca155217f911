"""What a table of predictions has of each recording, between its name and `quality`: numbers, by column."""

from collections.abc import Sequence

from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction
from ecg_jax.kinds import FINDING


def name_columns(model: Model, measurements: Sequence[str]) -> list[str]:
    """Labels; of findings the same as LABEL_raw; then `measurements`, as `measured_NAME` where NAME is a label."""
    raw = [f"{name}_raw" for name in model.label_names if model.kind == FINDING]
    measured = [f"measured_{name}" if name in model.label_names else name for name in measurements]
    return [*model.label_names, *raw, *measured]


def list_numbers(model: Model, made: Prediction, measurements: Sequence[str]) -> list[float]:
    """The numbers of these columns, NaN where unknown."""
    known = made.measured.measurements if made.measured else {}
    raw = made.raw.tolist() if model.kind == FINDING else []
    return [*made.probabilities.tolist(), *raw, *(known.get(name, float("nan")) for name in measurements)]
