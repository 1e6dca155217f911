"""Text in CSV files that a spreadsheet shows instead of computing it.

A cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return is a formula to a spreadsheet, unless an
apostrophe precedes it (OWASP, "CSV Injection"). `guard` adds it and `restore` removes it; numbers stay as they are.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

_GUARDED = re.compile(r"'+[=+\-@\t\r]")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def guard(text: str) -> str:
    """The text of a cell, with an apostrophe before a formula, or before what begins with such an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def restore(text: str) -> str:
    """The reverse of `guard`."""
    return text[1:] if _GUARDED.match(text) else text


def to_csv(table: pd.DataFrame, **options: Any) -> str:
    """A table as CSV without its index, its texts and names of columns guarded; options of `DataFrame.to_csv`."""
    return str(_map(table, guard).to_csv(index=False, **options))


def restore_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from CSV, its texts and names of columns as before `to_csv`."""
    return _map(table, restore)


def _map(table: pd.DataFrame, function: Callable[[str], str]) -> pd.DataFrame:
    def convert(value: object) -> object:
        return function(value) if isinstance(value, str) else value

    def convert_column(column: pd.Series) -> pd.Series:
        if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
            return column
        dtype = column.dtype if isinstance(column.dtype, pd.StringDtype) else object
        return column.map(convert).astype(dtype)  # an empty column of texts would become one of numbers

    columns = [convert_column(column) for _, column in table.items()]
    mapped = pd.concat(columns, axis=1) if columns else table.copy()
    mapped.columns = [convert(name) for name in table.columns]
    return mapped
