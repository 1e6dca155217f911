"""Tables that an evaluation may take besides labels: other readers' labels, and the weights of a Challenge."""

from collections.abc import Sequence

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data import prediction_files
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.errors import InputError
from ecg_jax.evaluation.predictions import Predictions


def read_annotators(paths: Sequence[str], predictions: Predictions, *, has_ids: bool) -> dict[str, np.ndarray]:
    """Other readers' labels of the same recordings, `[N, C]` by file name.

    Args:
        paths: CSVs with a column per label.
        predictions: Of these recordings.
        has_ids: These are named, so that a reader's file is joined by id where it has ids.

    Raises:
        InputError: when a label or a recording is missing.
    """
    readings: dict[str, np.ndarray] = {}
    for path in paths:
        if prediction_files.describe(path) in readings:
            raise InputError(f"{path}: another reader's file has the same name; rename one")
        table = table_lib.read_table(path)
        if missing := [name for name in predictions.names if name not in table]:
            raise InputError(f"{path}: no label {', '.join(missing)}; it has {', '.join(table.columns)}")
        column = prediction_files.find_ids(table) if has_ids else None
        rows = np.arange(len(table))
        if column:
            place = {id: row for row, id in enumerate(table_lib.parse_ids(table[column], path).tolist())}
            if absent := [id for id in predictions.ids.tolist() if id not in place]:
                raise InputError(f"{path}: {len(absent)} recordings are not in it, the first {absent[0]}")
            rows = np.array([place[id] for id in predictions.ids.tolist()])
        elif len(table) != len(predictions.ids):
            raise InputError(
                f"{path} has {len(table)} recordings, {len(predictions.ids)} are scored; without ids they are joined "
                "line by line, and must be as many"
            )
        columns = [label_lib.parse_column(table[name], path)[rows] for name in predictions.names]
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
