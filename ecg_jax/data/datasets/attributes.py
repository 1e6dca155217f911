"""What a table knows of recordings besides labels: columns that subgroups can be made of."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import table as table_lib


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
    found = read_known(table, source)
    for name in table.columns:
        if name in others or name in label_lib.SIX or is_fact(name):
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        is_number = numbers.notna().sum() == table[name].notna().sum()
        values = numbers.to_numpy(np.float64) if is_number else table[name].fillna("").to_numpy(str)
        if is_number or len(set(values.tolist())) < max(len(table) // 2, 2):  # else a name or a remark of each
            found[name] = values
    return found


def is_fact(name: str) -> bool:
    """Whether a column says who, where and when, by its name, and `read_known` or others read it."""
    spelled = name.lower()
    is_other = spelled in (*table_lib.DATES, "quality", "") or spelled.startswith("unnamed:")
    return is_other or (label_lib.is_fact(name) and spelled != "source")
