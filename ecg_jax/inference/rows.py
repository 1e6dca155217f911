"""What a table of predictions has of each recording, between its name and `quality`: numbers, by column."""

from collections import Counter
from collections.abc import Sequence

from ecg_jax.errors import InputError
from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction
from ecg_jax.kinds import FINDING

RECORDING, QUALITY = "recording", "quality"  # the first column and the last


def name_columns(model: Model, measurements: Sequence[str]) -> list[str]:
    """Labels; of findings the same as LABEL_raw; then `measurements`, as `measured_NAME` where NAME is a label.

    Raises:
        InputError: when a label has the name of another column.
    """
    raw = [f"{name}_raw" for name in model.label_names if model.kind == FINDING]
    measured = [f"measured_{name}" if name in model.label_names else name for name in measurements]
    names = [*model.label_names, *raw, *measured]
    if twice := [name for name, count in Counter([RECORDING, *names, QUALITY]).items() if count > 1]:
        raise InputError(
            f"the model's labels make two columns {', '.join(twice)} of a table; write --output=FILE.json, "
            "or name others by --labels"
        )
    return names


def list_numbers(model: Model, made: Prediction, measurements: Sequence[str]) -> list[float]:
    """The numbers of these columns, NaN where unknown."""
    known = made.measured.measurements if made.measured else {}
    raw = made.raw.tolist() if model.kind == FINDING else []
    return [*made.probabilities.tolist(), *raw, *(known.get(name, float("nan")) for name in measurements)]
