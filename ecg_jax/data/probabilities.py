"""Numbers in files that should be probabilities: checked, converted from logits, or refused by their place."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.special

from ecg_jax.errors import InputError

_LEAST_LOGITS = 0.2  # share of negative values from which numbers outside 0-1 look like logits
_INSPECTED = 1000  # lines of a column


def could_be(column: pd.Series) -> bool:
    """Whether a column of text begins with nothing but numbers from 0 to 1, empty cells aside."""
    column = column.head(_INSPECTED).dropna()
    return bool(pd.to_numeric(column, errors="coerce").between(0, 1).all())


def parse_columns(table: pd.DataFrame, names: Sequence[str], path: str, *, logits: bool = False) -> np.ndarray:
    """Columns of text as probabilities, `[N, C]` float64; `InputError` names line, column and value."""
    values = np.stack([_parse(table[name], path, logits) for name in names], axis=1)

    def place(row: int, column: int) -> str:
        return f"line {table.index[row] + 2}, column {names[column]!r}"

    return convert(values, path, place, logits=logits)


def _parse(column: pd.Series, path: str, logits: bool) -> np.ndarray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        value = column.iloc[bad[0]]
        found = "is empty" if pd.isna(value) else f"holds {value}"
        raise InputError(
            f"{path}: line {column.index[bad[0]] + 2}, column {column.name!r} {found}; "
            f"expected {'a logit' if logits else 'a probability'} ({bad.size} such value(s)); leave such recordings "
            "out, or name the labels if this is none: --names=A,B"
        )
    return values


def convert(values: np.ndarray, path: str, place: Callable[[int, int], str], *, logits: bool = False) -> np.ndarray:
    """Finite probabilities or logits `[N, C]` as probabilities.

    Raises:
        InputError: when one is not from 0 to 1, naming `path` and, by `place(row, column)`, where it is.
    """
    if logits:
        return scipy.special.expit(values)
    outside = (values < 0) | (values > 1)
    if not outside.any():
        return values
    row, column = np.argwhere(outside)[0]
    hint = "correct the file"
    if values.min() < 0 and (values.max() > 1 or (values < 0).mean() >= _LEAST_LOGITS):
        hint = "these look like logits: --logits turns them into probabilities"
    elif values.min() >= 0 and 2 < values.max() <= 100:
        hint = "if these are per cent, divide them by 100"
    raise InputError(
        f"{path}: {place(row, column)} holds {values[row, column]:.9g}; a probability lies between 0 and 1 "
        f"({outside.sum()} of {outside.size} values do not); {hint}"
    )
