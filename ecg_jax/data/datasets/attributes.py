"""What a table knows of recordings besides labels: patients, split, and columns that subgroups can be made of."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import patients, scp_codes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import WEIGHT

DATES = ("date", "recording_date", "exam_date")  # what their columns are called
AGE, OLDEST = "age", 120  # years
_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
PTBXL_SEXES = _SEXES | {"0": "M", "1": "F"}
_IS_MALE = {"true": "M", "1": "M", "false": "F", "0": "F"}
_PLAIN = re.compile(r"\w[\w .-]*")  # may be a part of a file's name


def read_recordings(
    table: pd.DataFrame, source: str, labels: tuple[str, ...], *, id_column: str | None = "", patient_column: str = ""
) -> dict[str, Any]:
    """Reads whatever a user's table may state of its recordings, as fields of `Dataset`.

    Labels are its columns and what its `scp_codes` state. Ids are in `id`, `ecg_id` beside `scp_codes`, or else in
    `id_column`; None without any, or if `id_column` is None. See also `read_known_columns`, `read_others`, and
    `patients.parse` for `patient_column`.
    """
    origins = scp_codes.read_origins(table, source)
    named = "id" if "id" in table else id_column if origins is None else scp_codes.ID
    known = read_known_columns(table, source, patient_column, labels)
    known["ids"] = table_lib.parse_ids(table[named], source) if named and id_column is not None else None
    known["origins"] = origins
    known["columns"] = label_lib.select(labels, scp_codes.read_labels(table, source), table, source)
    known["attributes"] |= read_others(table, [*known["columns"], *known["attributes"]])
    named = patients.find_column(table, source, patient_column)
    known["notes"] = (
        *label_lib.describe_choice(labels, table),
        *([f"patients are named by {named}"] if known["patients"] is not None else []),
    )
    return known


def read_known_columns(
    table: pd.DataFrame, source: str, patient_column: str = "", labels: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Reads the columns that any table of recordings may have, as fields of `Dataset`.

    Those are `split` (`train`, `validation` or `val`, `test`), `strat_fold` (1 to 10, as in PTB-XL; without a column
    `split`, 9 validates and 10 tests), patients (keep a patient's recordings on one side), `age`, `sex` and
    `sampling_weight`, and of `labels` those that are numbers. See `read_recordings`.
    """
    folds = table_lib.parse_folds(table[table_lib.FOLD], source) if table_lib.FOLD in table else None
    split = table_lib.parse_split(table["split"], source) if "split" in table else None
    return {
        "split": table_lib.split_by_fold(folds) if split is None and folds is not None else split,
        "folds": folds,
        "patients": patients.parse(table, source, patient_column),
        "attributes": parse(table, source, PTBXL_SEXES if scp_codes.COLUMN in table else _SEXES, labels),
    }


def parse(
    table: pd.DataFrame, source: str, sexes: Mapping[str, str] = _SEXES, labels: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Reads `age`, `sex` (or `is_male`), `date` and `sampling_weight`, in any case, where a table has them.

    `sexes` are the spellings of `F` and `M`, in lower case. Where `labels` are `labels.Numbers`, their columns are read
    as well.

    Returns:
        `age` `[N]` float32 in years, NaN where unknown or not from 0 to 120 (PTB-XL writes 300 for 90 and older, the
        Challenges -1 for unknown), `sex` `[N]` str, `F`, `M` or empty, `date` `[N]` float64 in years (1984.87), NaN
        where unknown (PTB-XL calls it `recording_date`), and `sampling_weight` `[N]` float32, at least 0.
    """
    columns = {column.lower(): table[column] for column in table.columns}
    found = {}
    if "age" in columns:
        age = pd.to_numeric(columns["age"], errors="coerce").to_numpy(np.float32)
        found["age"] = np.where((age >= 0) & (age <= OLDEST), age, np.float32(np.nan))
    if "is_male" in columns:
        columns["sex"], sexes = columns["is_male"], _IS_MALE
    if "sex" in columns:
        found["sex"] = columns["sex"].str.strip().str.lower().map(sexes).fillna("").to_numpy(str)
    dates = next((columns[name] for name in DATES if name in columns), None)
    if dates is not None:
        found["date"] = table_lib.parse_dates(dates)
    if WEIGHT in columns:
        with np.errstate(over="ignore"):
            weights = pd.to_numeric(columns[WEIGHT], errors="coerce").to_numpy(np.float32)
        is_weight = np.isfinite(weights) & (weights >= 0)
        table_lib.require(is_weight, columns[WEIGHT], source, "a weight is a number of at least 0")
        found[WEIGHT] = weights
    numbers = labels if isinstance(labels, label_lib.Numbers) else ()
    return found | {name: _read(table[name]) for name in numbers if name in table and name not in found}


def read_known(table: pd.DataFrame, source: str, others: Collection[str] = ()) -> dict[str, np.ndarray]:
    """`age`, `sex` and `date`, where a table has them and they are not among the `others`; see `parse`."""
    left_out = {WEIGHT, *(name.lower() for name in others)}
    return {name: values for name, values in parse(table, source).items() if name not in left_out and len(values)}


def read_all(table: pd.DataFrame, source: str, others: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Reads age, sex, date, and every column that is neither name, label, remark nor among the `others`.

    Returns:
        Column to `[N]`, float64 (NaN where unknown) or str (empty where unknown).
    """
    return read_known(table, source, others) | {name: _read(table[name]) for name in _find_others(table, others)}


def read_numbers(table: pd.DataFrame, names: Collection[str]) -> dict[str, np.ndarray]:
    """Columns of numbers, `[N]` float64 by name; NaN where there is none."""
    return {name: pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in names}


def read_others(table: pd.DataFrame, labels: Collection[str]) -> dict[str, np.ndarray]:
    """As `read_all`, without age, sex, date, columns of 0 and 1 (labels that were not chosen), and names with marks."""
    names = [name for name in _find_others(table, labels) if _PLAIN.fullmatch(name)]
    return {name: _read(table[name]) for name in names if not label_lib.is_label(table[name])}


def _find_others(table: pd.DataFrame, others: Collection[str]) -> list[str]:
    names = [name for name in table if name not in others and not is_fact(name)]
    # Where values are nearly all different, they are names or remarks.
    has_groups = {name: table[name].nunique(dropna=False) < max(len(table) // 2, 2) for name in names}
    return [name for name in names if has_groups[name] or _is_number(table[name])]


def _is_number(column: pd.Series) -> bool:
    return bool(pd.to_numeric(column, errors="coerce").notna().sum() == column.notna().sum())


def _read(column: pd.Series) -> np.ndarray:
    if _is_number(column):
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    return column.fillna("").to_numpy(str)


def is_fact(name: str) -> bool:
    """Whether a column is named as one that states who, where or when."""
    spelled = name.lower()
    is_other = spelled in (*DATES, "quality", "") or spelled.startswith(("unnamed:", "__index_level_"))
    return is_other or (label_lib.is_fact(name) and spelled != "source")
