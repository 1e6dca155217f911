"""Your own recordings: a CSV with a `path` column and one column per label, or a folder of files and no table."""

import glob
import os

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data import readers
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.datasets.table import parse_ids, parse_known_columns, parse_text, read_table
from ecg_jax.errors import InputError


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens a CSV of files of any known format, each with one recording.

    Columns: `path` (relative to the CSV; a WFDB record with or without a suffix), the labels
    (1, 0 or empty for unknown), and if you have them `id` and those of `parse_known_columns`.

    A folder without a CSV holds recordings of which nothing is said: it can be prepared, not
    trained on.

    Args:
        source: The CSV, or a folder with one, or with ECG files alone, searched to its depths.
        labels: Label columns.
        seed: Unused: nothing is drawn.

    Raises:
        InputError: on missing files or columns, or values that are no labels.
    """
    del seed
    csv = _find_csv(source)
    if not csv:
        return _list_files(source, labels)
    table = read_table(csv, ("path",))
    base = os.path.dirname(os.path.abspath(csv))
    names = parse_text(table["path"], csv)
    paths = [os.path.join(base, name) for name in names]
    absent = [row for row, path in enumerate(paths) if not _is_there(path)]
    if absent:
        raise InputError(
            f"{csv}: line {table.index[absent[0]] + 2}: {len(absent)} of its {len(paths)} records are not there, "
            f"the first {paths[absent[0]]}"
        )
    ids = parse_ids(table["id" if "id" in table else "path"], csv)
    return Dataset(
        name="folder",
        ids=ids,
        columns=label_lib.select(labels, {}, table, csv),
        **parse_known_columns(table, csv),
        read=lambda i: readers.read(paths[i], str(ids[i])),
    )


def _list_files(folder: str, labels: tuple[str, ...]) -> Dataset:
    if labels != label_lib.ALL:
        raise InputError(
            f"{folder}: no CSV that says which recording has {', '.join(labels)}; write one with the columns path, "
            f"{', '.join(labels)}"
        )
    found = readers.find(folder)
    return Dataset(
        name="folder",
        ids=np.array([os.path.relpath(source.name, folder) for source in found]),
        columns={},
        read=lambda i: found[i].read(),
        notes=("no CSV in the folder: nothing is known of the recordings but their signals",),
    )


def _is_there(path: str) -> bool:
    headers = (path + ".hea", os.path.splitext(path)[0] + ".hea")
    return os.path.isfile(path) or any(os.path.isfile(header) for header in headers)


def _find_csv(source: str) -> str:
    if os.path.isfile(source):
        return source
    found = glob.glob(os.path.join(source, "*.csv")) if source else []
    if not found and os.path.isdir(source):
        return ""
    if len(found) != 1:
        raise InputError(
            f"data set folder: {len(found)} CSV files in {source!r}; pass the one with --config.data.source=FILE.csv"
        )
    return found[0]
