"""Values in files of predictions: checked, converted from logits, or refused by their place; and true numbers."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.special

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import attributes as attribute_lib
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING, NUMBER

PROBABILITIES, LOGITS, NUMBERS = SCALES = ("probabilities", "logits", "numbers")  # what values may be
KINDS = {PROBABILITIES: FINDING, LOGITS: FINDING, NUMBERS: NUMBER}  # of the labels that are so predicted
_EXPECTED = {PROBABILITIES: "a probability", LOGITS: "a logit", NUMBERS: "a number"}
_LEAST_LOGITS = 0.2  # share of negative values from which numbers outside 0-1 look like logits
_LARGEST_LOGIT = 100.0
_INSPECTED = 1000  # lines of a column


def could_be(column: pd.Series) -> bool:
    """Whether a column of text begins with nothing but numbers from 0 to 1, empty cells aside."""
    column = column.head(_INSPECTED).dropna()
    return bool(pd.to_numeric(column, errors="coerce").between(0, 1).all())


def is_number(column: pd.Series) -> bool:
    """Whether most of a column of text, empty cells aside, are numbers at its beginning."""
    column = column.head(_INSPECTED).dropna()
    return bool(len(column)) and bool(pd.to_numeric(column, errors="coerce").notna().mean() > 0.5)


def parse_truth(table: pd.DataFrame, name: str, path: str) -> np.ndarray:
    """A column of true numbers, `[N]` float64, NaN where it is empty; `InputError` names line, column and value.

    Of the label `age`, what is not from 0 to 120 years is unknown, as everywhere.
    """
    column = table[name]
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values) & column.notna().to_numpy())
    if bad.size:
        raise InputError(
            f"{path}: {label_lib.locate(column.index[bad[0]])}, column {name!r} holds {column.iloc[bad[0]]}; expected "
            f"a number, or empty for unknown ({bad.size} such value(s))"
        )
    return blank_ages(values[:, None], [name])[:, 0]


def blank_ages(truth: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """True numbers `[N, C]` of columns, NaN in place of an age that none can be; see `attributes.parse`."""
    is_age = np.array([name.lower().removesuffix("_true") == attribute_lib.AGE for name in names])
    return np.where(is_age & ~((truth >= 0) & (truth <= attribute_lib.OLDEST)), np.nan, truth)


def parse_columns(table: pd.DataFrame, names: Sequence[str], path: str, scale: str = PROBABILITIES) -> np.ndarray:
    """Columns of text as probabilities or numbers, `[N, C]` float64; `InputError` names line, column and value."""
    if len(names) > 1 and (empty := table[[*names]].isna().all(axis=1)).any():
        raise InputError(
            f"{path}: {label_lib.locate(table.index[empty.argmax()])} has no value at all ({empty.sum()} such row(s)); "
            "leave such recordings out, or say why in a column `quality`"
        )
    values = np.stack([_parse(table[name], path, scale) for name in names], axis=1)

    def place(row: int, column: int) -> str:
        return f"{label_lib.locate(table.index[row])}, column {names[column]!r}"

    return convert(values, path, place, scale)


def _parse(column: pd.Series, path: str, scale: str) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        value = column.iloc[bad[0]]
        found = "is empty" if pd.isna(value) else f"holds {value}"
        raise InputError(
            f"{path}: {label_lib.locate(column.index[bad[0]])}, column {column.name!r} {found}; "
            f"expected {_EXPECTED[scale]} ({bad.size} such value(s)); leave such recordings "
            "out, or name the labels if this is none: --names=A,B"
        )
    return values


def convert(values: np.ndarray, path: str, place: Callable[[int, int], str], scale: str = PROBABILITIES) -> np.ndarray:
    """Finite probabilities or logits `[N, C]` as probabilities, or numbers as they are.

    Raises:
        InputError: when a probability is not from 0 to 1, naming `path` and, by `place(row, column)`, where it is.
    """
    if scale == NUMBERS:
        return values
    if scale == LOGITS:
        return scipy.special.expit(values)
    outside = (values < 0) | (values > 1)
    if not outside.any():
        return values
    row, column = np.argwhere(outside)[0]
    raise InputError(
        f"{path}: {place(row, column)} holds {values[row, column]:.9g}; a probability lies between 0 and 1 "
        f"({outside.sum()} of {outside.size} values do not); {_advise(values, outside)}"
    )


def _advise(values: np.ndarray, outside: np.ndarray) -> str:
    """What to do about values that are no probabilities."""
    low, high = values.min(), values.max()
    if low < 0 and (high > 1 or (values < 0).mean() >= _LEAST_LOGITS) and high <= _LARGEST_LOGIT:
        return "these look like logits: --logits turns them into probabilities"
    hints = ["if these are per cent, divide them by 100"] if low >= 0 and 2 < high <= 100 else []
    if outside.mean() > 0.5:
        hints.append("if these are quantities, as age in years, pass --numbers")
    return "; ".join(hints) or "correct the file"
