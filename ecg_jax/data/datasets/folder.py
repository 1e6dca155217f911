"""Users' own recordings: a CSV with a column of files and one per label, or a folder of files without a table."""

import functools
import glob
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_jax import columns
from ecg_jax import labels as label_lib
from ecg_jax.data import readers
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_file
from ecg_jax.errors import InputError
from ecg_jax.printable import list_some
from ecg_jax.recording import Recording

_SHOWN = 3


def create(*, source: str, labels: tuple[str, ...], patient_column: str = "") -> Dataset:
    """Opens a CSV of files of any known format, each with one recording; `source` is the CSV or its folder.

    Columns: `path`, or another of `columns.RECORDING` (relative to the CSV; a WFDB record with or without a suffix),
    labels (1, 0 or empty for unknown), and optionally those of `attributes.read_recordings`. A folder without such a
    CSV, searched to its depths, holds recordings of which nothing else is known: it can be prepared, not trained on. A
    file that is missing among others is refused when it is read.
    """
    if os.path.isfile(source):
        return _open_table(source, labels, patient_column)
    tables = sorted(glob.glob(os.path.join(glob.escape(source), "*.csv"))) if source else []
    is_named = labels != label_lib.ALL or any(table_lib.has_column(csv, "path") for csv in tables)
    if os.path.isdir(source) and not (tables and is_named):
        return _list_files(source, labels, tables)
    if len(tables) != 1:
        raise InputError(
            f"data set folder: {len(tables)} CSV files in {source!r}; pass the one with --config.data.source=FILE.csv"
        )
    return _open_table(tables[0], labels, patient_column)


def _open_table(csv: str, labels: tuple[str, ...], patient_column: str) -> Dataset:
    table = table_lib.read_table(csv)
    base = os.path.dirname(os.path.abspath(csv))
    column = _find_files(table, csv, base)
    paths = [os.path.join(base, name) for name in table_lib.parse_text(table[column], csv)]
    remedy = f"paths are relative to {base}"
    absent = table_lib.describe_absent(table, paths, [_is_there(path) for path in paths], csv, remedy)
    known = attributes.read_recordings(table, csv, labels, id_column=column, patient_column=patient_column)
    known["notes"] = (*absent, *known["notes"])
    ids = known["ids"]
    return Dataset(name="folder", read=functools.partial(read_file, readers.read, paths, ids), **known)


def _find_files(table: pd.DataFrame, csv: str, base: str) -> str:
    """The column of files: `path`, or else the first in `columns.RECORDING` that names one that is there."""
    found = ["path"] if "path" in table else columns.find(table.columns, columns.RECORDING)
    if not found:
        raise InputError(
            f"{csv}: no column that names files, as path, file, filename or recording; it has "
            f"{list_some(table.columns, 20)}; rename one, or pass the right CSV"
        )
    if len(found) == 1:
        return found[0]

    def names_files(column: str) -> bool:
        return any(_is_there(os.path.join(base, str(file).strip())) for file in table[column].dropna())

    return next(filter(names_files, found), found[0])


def _list_files(folder: str, labels: tuple[str, ...], tables: list[str]) -> Dataset:
    if labels != label_lib.ALL:
        raise InputError(
            f"{folder}: no CSV that says which recording has {', '.join(labels)}; write one with the columns path, "
            f"{', '.join(labels)}"
        )
    searched = readers.search(folder)
    found = searched.recordings
    ids = np.array([os.path.relpath(source.name, folder) for source in found])
    unused = sorted({os.path.basename(csv) for csv in tables} - {*ids.tolist()})
    notes = ["no CSV in the folder: nothing is known of the recordings but their signals"]
    if unused:
        more = f" and {len(unused) - _SHOWN} more" if len(unused) > _SHOWN else ""
        notes = [
            f"not used, without a column `path`: {', '.join(unused[:_SHOWN])}{more}; nothing is known of the "
            "recordings but their signals"
        ]
    if passed_over := readers.describe_passed_over(searched.passed_over):
        notes.append(passed_over)
    return Dataset(
        name="folder",
        ids=ids,
        columns={},
        read=functools.partial(_read, found),
        notes=tuple(notes),
    )


def _read(found: Sequence[readers.LazyRecording], i: int) -> Recording:
    return found[i].read()


def _is_there(path: str) -> bool:
    headers = (path + ".hea", os.path.splitext(path)[0] + ".hea")
    return os.path.isfile(path) or any(os.path.isfile(header) for header in headers)
