"""Tables that an evaluation may take besides labels: other readers' labels, and the weights of a Challenge."""

from collections.abc import Sequence

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data import joins, label_files, prediction_files
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions


def read_annotators(
    paths: Sequence[str], predictions: Predictions, recordings: joins.Names, *, source: str, rules: joins.Rules
) -> dict[str, np.ndarray]:
    """Other readers' labels of the same recordings, `[N, C]` by file name.

    Args:
        paths: CSVs with a column per label.
        predictions: Of these recordings.
        recordings: Their names; empty where nothing names them.
        source: What names them, for messages.
        rules: See `joins.join`.

    Raises:
        InputError: when a label or a recording is missing.
    """
    readings: dict[str, np.ndarray] = {}
    for path in paths:
        if prediction_files.describe(path) in readings:
            raise InputError(f"{path}: another reader's file has the same name; rename one")
        reader = label_files.read_labels(path, rules)
        if missing := [name for name in predictions.names if name not in reader.table]:
            raise InputError(f"{path}: no label {', '.join(missing)}; it has {', '.join(reader.table.columns)}")
        rows = joins.join(joins.Side(source, len(predictions.ids), recordings), reader.side, rules).rows
        if (rows < 0).any():
            absent = predictions.ids[rows < 0]
            raise InputError(
                f"{path}: {len(absent)} of the {len(rows)} scored recordings are not in it, the first {absent[0]}"
            )
        columns = [label_lib.parse_column(reader.table[name], path)[rows] for name in predictions.names]
        readings[prediction_files.describe(path)] = np.stack(columns, axis=1).astype(np.float64)
    return readings


def read_challenge_weights(path: str) -> tuple[list[str], np.ndarray]:
    """Reads a table of credits between classes, as `weights.csv` of the PhysioNet Challenge 2021.

    Returns:
        The C classes, and `[C, C]` float64.

    Raises:
        InputError: when rows and columns do not name the same classes, or a credit is no number.
    """
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
