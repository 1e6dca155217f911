"""The one shape every data set takes."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Recordings that can be read by number, with what is known of them.

    Attributes:
        name: As in `config.data.dataset`.
        ids: `[N]` str, unique names of the recordings.
        columns: The C labels: name to `[N]` float32 in {1, 0, NaN = unknown}.
        read: Reads recording number i.
        split: `[N]` str, `train`, `validation` or `test`, where the data set has a split of
            its own; else None until `splits.assign` draws one.
        patients: `[N]` str; None where nobody knows, and each recording counts as a patient.
        folds: `[N]` int64, the data set's own folds; None where it has none.
        attributes: What else is known and worth a subgroup: name to `[N]`; `age` is
            float32 years (NaN = unknown), `sex` is str (`F`, `M` or empty).
        hashes: `[N]` str of the signals' content, where it is known without reading them.
        notes: Lines worth telling before a run starts (what was left out, and why).
    """

    name: str
    ids: np.ndarray
    columns: Mapping[str, np.ndarray]
    read: Callable[[int], Recording]
    split: np.ndarray | None = None
    patients: np.ndarray | None = None
    folds: np.ndarray | None = None
    attributes: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    hashes: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values, counts = np.unique(self.ids, return_counts=True)
        if len(values) < len(self.ids):
            raise InputError(
                f"{self.name}: recording {values[counts > 1][0]} stands {counts.max()} times; ids are unique"
            )

    @property
    def label_names(self) -> tuple[str, ...]:
        """The C labels."""
        return tuple(self.columns)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """`[N, C]` float32 in {1, 0, NaN = unknown}."""
        return np.stack([np.asarray(column, np.float32) for column in self.columns.values()], axis=1)

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
