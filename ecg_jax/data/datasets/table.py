"""The tables that data sets come with: read as text, checked, and refused by line."""

import codecs
import csv
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.errors import InputError

KNOWN_COLUMNS = ("id", "path", "split", "patient_id", *label_lib.SIX, label_lib.ABNORMAL)
_LONGEST_HEADER = 1 << 20  # characters


def read_table(path: str, required: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a CSV as text, so that `007` stays what it is.

    Its delimiter is a comma, a semicolon or a tab; a byte-order mark is skipped; names of
    columns are compared in any case where they are required or `KNOWN_COLUMNS`.

    Returns:
        Every column as str, NaN where empty. The index counts the file's rows from 0, past
        blank lines, which are left out: a row's line is its index + 2.

    Raises:
        InputError: when it is missing, empty, not a CSV, names a column twice or lacks a
            required one.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(2)
        encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with open(path, encoding=encoding, newline="") as text:
            delimiter, names = _split_header(text.readline(_LONGEST_HEADER))
        table = pd.read_csv(path, sep=delimiter, encoding=encoding, dtype=str, skip_blank_lines=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, csv.Error, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a readable CSV ({' '.join(str(error).split())})") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: line 2 has more fields than line 1, which names {len(table.columns)} columns")
    duplicated = sorted({name for name in names if name and names.count(name) > 1})
    if duplicated:
        raise InputError(f"{path}: line 1 names column {', '.join(duplicated)} more than once; rename or remove one")
    table = table.dropna(how="all")
    table.columns = _standardize_names([str(column).strip() for column in table.columns], required, path)
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if table.empty:
        raise InputError(f"{path}: no rows")
    return table


def _split_header(line: str) -> tuple[str, list[str]]:
    """The delimiter that makes most of the first line, and the names it separates."""
    rows = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in ",;\t"}
    delimiter = max(rows, key=lambda d: len(rows[d]))
    return delimiter, [name.strip() for name in rows[delimiter]]


def _standardize_names(names: list[str], required: tuple[str, ...], path: str) -> list[str]:
    """Gives required and known columns their own spelling, where a table has them in another case."""
    standard = {name.lower(): name for name in (*KNOWN_COLUMNS, *required)}
    found: dict[str, str] = {}
    for name in names:
        wanted = standard.get(name.lower(), name)
        if wanted in names:
            continue
        if wanted in found:
            raise InputError(f"{path}: line 1 names both {found[wanted]} and {name}; rename or remove one")
        found[wanted] = name
    spelled = {name: wanted for wanted, name in found.items()}
    return [spelled.get(name, name) for name in names]


def parse_ids(column: pd.Series, source: str) -> np.ndarray:
    """A column of unique names as `[N]` str; an empty or repeated one raises `InputError` with its line."""
    ids = parse_text(column, source)
    require_unique(ids, column, source)
    return ids


def require_unique(ids: np.ndarray, column: pd.Series, source: str) -> None:
    """Raises `InputError`, with two lines, when an id that was read from `column` stands there more than once."""
    values, counts = np.unique(ids, return_counts=True)
    if (repeated := np.flatnonzero(counts > 1)).size:
        rows = np.flatnonzero(ids == values[repeated[0]])
        lines = " and ".join(str(column.index[row] + 2) for row in rows[:2])
        raise InputError(
            f"{source}: lines {lines}, column {column.name!r}: recording {values[repeated[0]]} stands "
            f"{len(rows)} times; ids are unique"
        )


def parse_text(column: pd.Series, source: str) -> np.ndarray:
    """A column's values as `[N]` str; an empty one raises `InputError` with its line."""
    empty = np.flatnonzero(column.isna())
    if empty.size:
        raise InputError(f"{source}: line {column.index[empty[0]] + 2}, column {column.name!r} is empty")
    return column.str.strip().to_numpy(str)


def parse_integers(column: pd.Series, source: str) -> np.ndarray:
    """A column's values as `[N]` int64 (`12` or `12.0`); any other raises `InputError` with its line."""
    numbers = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero(numbers.isna() | (numbers != numbers.round()))
    if bad.size:
        line, value = column.index[bad[0]] + 2, column.iloc[bad[0]]
        raise InputError(f"{source}: line {line}, column {column.name!r} holds {value!r}; expected a whole number")
    return numbers.to_numpy(np.int64)


def require_folder(name: str, source: str) -> str:
    """Returns `source` if it is a folder, else raises `InputError` saying how to give one."""
    if not source or not os.path.isdir(source):
        raise InputError(
            f"data set {name}: source {source!r} is not a folder; pass --config.data.source=DIR where its files lie"
        )
    return source


def keep_present(
    table: pd.DataFrame, paths: list[str], present: list[bool], source: str
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Leaves out the rows of a table whose recordings were not downloaded.

    Returns:
        The other rows, their paths, and a note if any was left out.

    Raises:
        InputError: when none is there.
    """
    if not any(present):
        raise InputError(f"{source}: none of its {len(paths)} recordings is there, the first {paths[0]}; download some")
    notes = [] if all(present) else [f"{present.count(False)} of {len(paths)} recordings are not there; left out"]
    return table[present], [path for path, is_there in zip(paths, present, strict=True) if is_there], notes


_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
_SPLITS = {name: name for name in SPLITS} | {"val": "validation", "valid": "validation"}


def parse_known_columns(table: pd.DataFrame, source: str) -> dict[str, Any]:
    """Reads the columns that any table of recordings may have, as fields of `Dataset`.

    Those are `split` (`train`, `validation` or `val`, `test`), `patient_id` (keeps a
    patient's recordings on one side), `age` and `sex`.

    Raises:
        InputError: naming the line and the value found.
    """
    return {
        "split": parse_split(table["split"], source) if "split" in table else None,
        "patients": parse_text(table["patient_id"], source) if "patient_id" in table else None,
        "attributes": parse_attributes(table),
    }


def parse_split(column: pd.Series, source: str) -> np.ndarray:
    """A column that says `train`, `validation` (or `val`) or `test`, as `[N]` str.

    Raises:
        InputError: naming the line and the value found.
    """
    values = column.astype(str).str.strip().str.lower().map(_SPLITS)
    bad = np.flatnonzero(values.isna())
    if bad.size:
        line, value = column.index[bad[0]] + 2, column.iloc[bad[0]]
        raise InputError(f"{source}: line {line}, column 'split' holds {value!r}; expected {', '.join(SPLITS)}")
    return values.to_numpy(str)


def parse_attributes(table: pd.DataFrame, sexes: Mapping[str, str] = _SEXES) -> dict[str, np.ndarray]:
    """Reads `age` and `sex` (or `is_male`), in any case, where a table has them.

    Args:
        table: Of text.
        sexes: What stands for `F` and `M`, in lower case.

    Returns:
        `age` `[N]` float32 in years, NaN where unknown or not from 0 to 120 (PTB-XL writes 300
        for 90 and older, the Challenges -1 for unknown), and `sex` `[N]` str, `F`, `M` or empty.
    """
    columns = {column.lower(): table[column] for column in table.columns}
    found = {}
    if "age" in columns:
        age = pd.to_numeric(columns["age"], errors="coerce").to_numpy(np.float32)
        found["age"] = np.where((age >= 0) & (age <= 120), age, np.float32(np.nan))
    if "is_male" in columns:
        columns["sex"], sexes = columns["is_male"], {"true": "M", "1": "M", "false": "F", "0": "F"}
    if "sex" in columns:
        found["sex"] = columns["sex"].str.strip().str.lower().map(sexes).fillna("").to_numpy(str)
    return found
