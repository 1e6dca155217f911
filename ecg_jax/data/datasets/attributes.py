"""What a table knows of recordings besides labels: columns that subgroups can be made of."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import table as table_lib

_PLAIN = re.compile(r"\w[\w .-]*")  # may be a part of a file's name


def read_known(table: pd.DataFrame, source: str) -> dict[str, np.ndarray]:
    """`age`, `sex` and `date`, where a table has them; see `table.parse_attributes`."""
    found = table_lib.parse_attributes(table, source)
    return {name: values for name, values in found.items() if name != table_lib.WEIGHT and len(values)}


def read_all(table: pd.DataFrame, source: str, others: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Reads age, sex, date, and every column that is neither name, label nor remark.

    Args:
        table: Of text.
        source: File name for messages.
        others: Columns that are something else.

    Returns:
        Column to `[N]`, float64 (NaN where unknown) or str (empty where unknown).
    """
    return read_known(table, source) | {name: _read(table[name]) for name in _find_others(table, others)}


def read_others(table: pd.DataFrame, labels: Collection[str]) -> dict[str, np.ndarray]:
    """As `read_all`, without age, sex, date, columns of 0 and 1 (labels that were not chosen), and names with marks."""
    names = [name for name in _find_others(table, labels) if _PLAIN.fullmatch(name)]
    return {name: _read(table[name]) for name in names if not label_lib.is_label(table[name])}


def _find_others(table: pd.DataFrame, others: Collection[str]) -> list[str]:
    names = [name for name in table if name not in others and name not in label_lib.SIX and not is_fact(name)]
    return [name for name in names if _is_number(table[name]) or _has_groups(table[name])]


def _is_number(column: pd.Series) -> bool:
    return bool(pd.to_numeric(column, errors="coerce").notna().sum() == column.notna().sum())


def _has_groups(column: pd.Series) -> bool:
    """Whether values are not all different, as names and remarks are."""
    return column.fillna("").nunique() < max(len(column) // 2, 2)


def _read(column: pd.Series) -> np.ndarray:
    if _is_number(column):
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    return column.fillna("").to_numpy(str)


def is_fact(name: str) -> bool:
    """Whether a column says who, where and when, by its name, and `read_known` or others read it."""
    spelled = name.lower()
    is_other = spelled in (*table_lib.DATES, "quality", "") or spelled.startswith("unnamed:")
    return is_other or (label_lib.is_fact(name) and spelled != "source")
