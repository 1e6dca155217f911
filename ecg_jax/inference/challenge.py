"""The score of the PhysioNet/CinC Challenge 2021 of predictions, with the credits of a file."""

import numpy as np
import pandas as pd

from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation import challenge, scores
from ecg_jax.evaluation.predictions import Predictions
from ecg_jax.evaluation.settings import Settings
from ecg_jax.evaluation.thresholds import Thresholds


def score(
    predictions: Predictions, thresholds: Thresholds, settings: Settings, weights: str, normal: str
) -> pd.DataFrame:
    """The score of the PhysioNet/CinC Challenge 2021, one row: `score`, `value`, `value_low`, `value_high`, `n`.

    `n` recordings have no unknown label.

    Args:
        predictions: Of the classes of the table; one of several names (`733534002|164909002`) is present where any of
            them is.
        thresholds: Where probabilities become decisions.
        settings: Of the interval.
        weights: Path of a table of credits between classes, as the Challenge's `weights.csv`.
        normal: The class of sinus rhythm.
    """
    classes, values = _read_credits(weights)
    called, labels, calls = scores.decide(predictions, thresholds), [], []
    for name in classes:
        known = [i for i, label in enumerate(predictions.names) if label in (name, *name.split("|"))]
        if not known:
            raise InputError(f"{weights}: class {name} is not among the labels: {', '.join(predictions.names)}")
        labels.append(predictions.labels[:, known].max(axis=1))  # NaN where any is unknown
        calls.append(called[:, known].any(axis=1))
    if normal not in classes:
        raise InputError(f"{weights}: no class {normal}; --challenge_normal names sinus rhythm")
    truth, decided = np.stack(labels, axis=1), np.stack(calls, axis=1)
    unit = scores.find_units(predictions, settings)
    ends = challenge.compute_score(truth, decided, values, classes.index(normal), settings, unit)
    row = ["PhysioNet Challenge 2021", *ends, int((~np.isnan(truth).any(axis=1)).sum())]
    return pd.DataFrame([row], columns=["score", "value", "value_low", "value_high", "n"])


def _read_credits(path: str) -> tuple[list[str], np.ndarray]:
    """The C classes, and credits `[C, C]` float64."""
    table = table_lib.read_table(path)
    classes = [str(name) for name in table.columns[1:]]
    if list(table.iloc[:, 0]) != classes:
        raise InputError(f"{path}: rows and columns must name the same classes in the same order")
    try:
        values = table[classes].astype(np.float64).to_numpy()
    except ValueError as error:
        raise InputError(f"{path}: {error}; a credit is a number") from error
    if np.isnan(values).any():
        raise InputError(f"{path}: a credit is empty; expected a number")
    return classes, values
