"""The one shape every data set takes."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import pandas as pd

from ecg_jax.data.splits import SPLITS
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Recordings that can be read by number, with their labels and their split.

    Attributes:
        name: As in `config.data.dataset`.
        ids: `[N]` str, unique names of the recordings.
        label_names: The C labels.
        labels: `[N, C]` float32 in {1, 0, NaN = unknown}.
        split: `[N]` str: `train`, `validation` or `test`.
        read: Reads recording number i.
        notes: Lines worth telling before a run starts (what was left out, and why).
    """

    name: str
    ids: np.ndarray
    label_names: tuple[str, ...]
    labels: np.ndarray
    split: np.ndarray
    read: Callable[[int], Recording]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            raise InputError(
                f"{self.name}: recording {values[counts > 1][0]} stands {counts.max()} times; ids are unique"
            )

    def indices(self, split: str) -> np.ndarray:
        """Numbers of the recordings of one split, `[n]` int64."""
        if split not in SPLITS:
            raise InputError(f"split {split!r}; known: {', '.join(SPLITS)}")
        return np.flatnonzero(self.split == split)


def read_table(path: str, required: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a CSV as text, so that `007` stays what it is.

    Returns:
        Every column as str, NaN where empty. The index counts the file's rows from 0, past
        blank lines, which are left out: a row's line is its index + 2.

    Raises:
        InputError: when it is missing, empty, not a CSV, or lacks a required column.
    """
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", dtype=str, skip_blank_lines=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a readable CSV ({' '.join(str(error).split())})") from error
    table = table.dropna(how="all")
    table.columns = [str(column).strip() for column in table.columns]
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    if table.empty:
        raise InputError(f"{path}: no rows")
    return table


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
