"""Your own recordings: a CSV with a `path` column and one column per label."""

import glob
import os

from ecg_jax import labels as label_lib
from ecg_jax.data import readers
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.datasets.table import parse_ids, parse_known_columns, parse_text, read_table
from ecg_jax.errors import InputError


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens a CSV of files of any known format, each with one recording.

    Columns: `path` (relative to the CSV; a WFDB record with or without a suffix), the labels
    (1, 0 or empty for unknown), and if you have them `id` and those of `parse_known_columns`.

    Args:
        source: The CSV, or a folder with exactly one.
        labels: Label columns.
        seed: Unused: nothing is drawn.

    Raises:
        InputError: on missing files or columns, or values that are no labels.
    """
    del seed
    csv = _find_csv(source)
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


def _is_there(path: str) -> bool:
    headers = (path + ".hea", os.path.splitext(path)[0] + ".hea")
    return os.path.isfile(path) or any(os.path.isfile(header) for header in headers)


def _find_csv(source: str) -> str:
    if os.path.isfile(source):
        return source
    found = glob.glob(os.path.join(source, "*.csv")) if source else []
    if len(found) != 1:
        raise InputError(
            f"data set folder: {len(found)} CSV files in {source!r}; pass the one with --config.data.source=FILE.csv"
        )
    return found[0]
