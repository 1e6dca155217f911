"""The columns of a table of predictions: of each recording its name, numbers, and `quality`."""

from collections.abc import Collection, Sequence

from ecg_jax.inference.model import Model
from ecg_jax.inference.predict import Prediction
from ecg_jax.kinds import FINDING


def name_columns(model: Model, measurements: Sequence[str]) -> list[str]:
    """`recording`; labels; of findings the same as LABEL_raw; `measurements`; `quality`.

    Labels keep their names: a measurement that is called as a label is `measured_NAME`, and otherwise what is called as
    another column is NAME_2.
    """
    raw = [f"{name}_raw" for name in model.label_names if model.kind == FINDING]
    measured = [f"measured_{name}" if name in model.label_names else name for name in measurements]
    names = [*model.label_names]
    for name in (*raw, *measured, "quality", "recording"):
        names.append(find_free(name, names))
    return [names.pop(), *names]


def find_free(name: str, taken: Collection[str]) -> str:
    """A name, or where it is taken NAME_2 (and so on)."""
    return find_free(f"{name}_2", taken) if name in taken else name


def list_numbers(model: Model, made: Prediction, measurements: Sequence[str]) -> list[float]:
    """The numbers between the first and the last of these columns, NaN where unknown."""
    known = made.measured.measurements if made.measured else {}
    raw = made.raw.tolist() if model.kind == FINDING else []
    return [*made.probabilities.tolist(), *raw, *(known.get(name, float("nan")) for name in measurements)]
