"""What is said of an ECG: label names, and their three states (1, 0, NaN for unknown)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax import columns
from ecg_jax.errors import InputError

# The six diagnoses of Ribeiro et al. 2020 (Nat Commun 11:1760), in that paper's order.
SIX = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
ABNORMAL = "abnormal"
ALL = ("all",)  # stands for every label that a data set offers
# Columns, in lower case, that say who, where and when, even where they hold nothing but 0 and 1.
NO_LABELS = frozenset(
    [
        "id",
        "path",
        "split",
        "patient_id",
        "subject_id",
        "study_id",
        "exam_id",
        "ecg_id",
        "trace_file",
        "file_name",
        "ecg_time",
        "fold",
        "strat_fold",
        "source",
        "age",
        "sex",
        "gender",
        "is_male",
        "sampling_rate",
        "sampling_weight",
    ]
)
_SHOWN = 5  # columns that are no labels


class Offered(tuple[str, ...]):
    """Names of which `select` takes those that a data set offers, and passes over the others."""


_STATES = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "0.0": 0.0, "1.0": 1.0, "": np.nan, "nan": np.nan}


def resolve(labels: str) -> tuple[str, ...]:
    """Turns the setting `labels` into label names.

    Args:
        labels: `six` (the six diagnoses), `abnormal` (normal against abnormal), `all`, or
            column names separated by commas.

    Raises:
        InputError: when it names no label, or one twice.
    """
    names = SIX if labels == "six" else tuple(name.strip() for name in labels.split(",") if name.strip())
    if not names or len(set(names)) != len(names):
        raise InputError(f"data.labels is {labels!r}; expected 'six', 'abnormal' or distinct column names")
    return names


def select(
    names: Sequence[str], derived: Mapping[str, np.ndarray], table: pd.DataFrame | None, source: str
) -> dict[str, np.ndarray]:
    """Collects the wanted labels: from `derived` where it has them, else from the table.

    Args:
        names: The wanted labels; `ALL` for every one in `derived` and every other column of
            the table that holds nothing but labels and is none of `NO_LABELS`; `Offered` for
            those of them that are there.
        derived: `[records]` arrays in {1, 0, NaN} that a data set computes itself.
        table: A table whose other columns may be labels (see `parse_column`).
        source: File name for messages.

    Returns:
        `[records]` float32 in {1, 0, NaN} by name, in the order of `names`.

    Raises:
        InputError: when there is no such label, naming those there are.
    """
    table = pd.DataFrame() if table is None else table
    if tuple(names) == ALL:
        names = [*derived, *(name for name in table if name not in derived and is_label(table[name]))]
    offered = [*derived, *table.columns]
    if isinstance(names, Offered):
        names = [name for name in names if name in offered]
    missing = [name for name in names if name not in offered]
    if missing:
        raise InputError(f"{source}: no label {', '.join(missing)}; there are: {', '.join(offered)}")
    return {
        name: np.asarray(derived[name] if name in derived else parse_column(table[name], source), np.float32)
        for name in names
    }


def describe_choice(names: Sequence[str], table: pd.DataFrame) -> list[str]:
    """What `ALL` makes of a user's table: lines that name its labels, and why other columns are none.

    Args:
        names: The wanted labels; anything but `ALL` needs no words.
        table: See `select`.
    """
    if tuple(names) != ALL:
        return []
    chosen = [str(name) for name in table if is_label(table[name])]
    others = [table[name] for name in table if str(name) not in chosen and not is_fact(str(name))]
    lines = [f"columns taken as labels: {', '.join(chosen) or 'none'}", *map(_explain, others[:_SHOWN])]
    return lines + ([f"{len(others) - _SHOWN} more columns are no labels"] if len(others) > _SHOWN else [])


def is_fact(name: str) -> bool:
    """Whether a column says who, where and when, as its name tells."""
    return name.lower() in NO_LABELS or columns.canonical(name) in (*columns.RECORDING, *columns.PATIENT)


def is_label(column: pd.Series) -> bool:
    """Whether a column's known values are all 0, 1, true or false, and there are some."""
    states = _normalize(column)
    known = states.map(_STATES).notna().any()
    return not is_fact(str(column.name)) and bool(known) and bool(states.isin(list(_STATES)).all())


def _explain(column: pd.Series) -> str:
    bad = np.flatnonzero(~_normalize(column).isin(list(_STATES)))
    if not bad.size:
        return f"column {column.name} is no label: it is empty"
    value = str(column.iloc[bad[0]])[:40]
    return (
        f"column {column.name} is no label: line {column.index[bad[0]] + 2} holds {value!r}; a label is 0, 1 or empty"
    )


def _normalize(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()


def parse_column(column: pd.Series, source: str) -> np.ndarray:
    """Reads a CSV column of labels.

    Args:
        column: Values 0, 1, true, false (any case), or empty for unknown; its index counts
            the file's rows from 0.
        source: File name for messages.

    Returns:
        `[records]` float32 in {1, 0, NaN}.

    Raises:
        InputError: naming the line (the header is line 1) and the value found.
    """
    lower = _normalize(column)
    bad = np.flatnonzero(~lower.isin(list(_STATES)))
    if bad.size:
        value = str(column.iloc[bad[0]]).strip()
        raise InputError(
            f"{source}: line {column.index[bad[0]] + 2}, column {column.name!r} holds {value}; "
            f"a label is 0, 1 or empty for unknown ({bad.size} such value(s))"
        )
    return lower.map(_STATES).to_numpy(np.float32)


def describe_prevalence(labels: np.ndarray, names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Per label: name, number of recordings where it is known, number of positives."""
    known = ~np.isnan(labels)
    return [(name, int(known[:, i].sum()), int(np.nansum(labels[:, i]))) for i, name in enumerate(names)]
