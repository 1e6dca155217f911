"""The column of a table that names patients, and placeholders for unknown patients."""

import re

import numpy as np
import pandas as pd

from ecg_jax import columns
from ecg_jax.errors import InputError, suggest
from ecg_jax.printable import list_some

_NOBODY = frozenset(
    [
        *("", "unknown", "unk", "nan", "none", "null", "nil", "na", "n/a", "n.a.", "not available", "not known"),
        *("missing", "undefined", "anonymous", "-", "--", "?"),
    ]
)
_NEGATIVE, _NUMBER, _ZERO = (re.compile(text) for text in (r"-\d+(\.0*)?", r"\d{1,18}(\.0*)?", r"0+(\.0*)?"))


def parse(table: pd.DataFrame, source: str, column: str = "") -> np.ndarray | None:
    """Reads the names of patients from `column`, or else the first that is named as in `columns.PATIENT`.

    A placeholder (`unknown`, `nan`, `n/a`, `-1`, nothing, in any case) is no patient. Neither is 0, unless patients are
    numbered from 0: the others are whole numbers of which at least half of those up to the largest occur, and 0 is no
    more frequent than the most frequent of them.

    Returns:
        `[N]` str, empty where unknown; None where no patient is named.

    Raises:
        InputError: when there is no such column.
    """
    name = find_column(table, source, column)
    return clean(table[name]) if name else None


def find_column(table: pd.DataFrame, source: str, column: str = "") -> str:
    """The column that `parse` reads; empty without one."""
    if column and column not in table:
        raise InputError(
            f"{source}: no column {column} to name patients; it has {list_some(table.columns, 20)}"
            + suggest(column, map(str, table.columns))
        )
    return column or next(iter(columns.find(table.columns, columns.PATIENT)), "")


def clean(names: pd.Series) -> np.ndarray | None:
    """Names of patients as `[N]` str, empty for placeholders; None where all are. See `parse`."""
    code, values = pd.factorize(names.fillna("").astype(str).str.strip())
    counts = np.bincount(code, minlength=len(values))
    texts = ["" if text.lower() in _NOBODY or _NEGATIVE.fullmatch(text) else text for text in map(str, values)]
    if not _is_numbered_from_zero(texts, counts):
        texts = ["" if _ZERO.fullmatch(text) else text for text in texts]
    return np.array(texts, str)[code] if any(texts) else None


def _is_numbered_from_zero(names: list[str], counts: np.ndarray) -> bool:
    """Whether 0 is a number like the others; `counts` are recordings by name."""
    zeros = sum(int(count) for name, count in zip(names, counts, strict=True) if _ZERO.fullmatch(name))
    others = {name: int(count) for name, count in zip(names, counts, strict=True) if name and not _ZERO.fullmatch(name)}
    if not others or not all(map(_NUMBER.fullmatch, others)):
        return False
    largest = max(int(name.partition(".")[0]) for name in others)
    return 2 * len(others) >= largest and zeros <= max(others.values())
