"""Numbers and columns of tables as readers see them, on a screen and on paper.

A score `X` with columns `X_low` and `X_high` is shown with its interval, in one column.
"""

import dataclasses
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

DASH = "–"
MINUS = "−"
_FORMAT = ".3f"
_WORDS = ("AUROC", "AUPRC", "ECG", "ID", "SD", "CI", "MCC", "PPV", "NPV", "ECE", "TP", "FP", "TN", "FN", "F1", "F2")
_HEADINGS = {word.lower(): word for word in _WORDS} | {
    "n": "n",
    "p": "p",
    "p_holm": "p (Holm)",
    "auroc_rate_only": "AUROC, rate only",
    "auroc_floor": "AUROC, floor",
    "brier": "Brier score",
    "pabak": "PABAK",
    "youden": "Youden's J",
    "deviation": "SD",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "pearson": "Pearson's r",
    "limit_low": "Lower limit",
    "limit_high": "Upper limit",
    "mae_constant": "MAE of the median",
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column as it is shown."""

    heading: str  # for readers
    is_number: bool  # whether it holds numbers only, and is right-aligned
    texts: list[str]  # one per row; a dash for no value
    values: list[float | None]  # one per row, for sorting; NaN for no value, None for text


def create_heading(name: str) -> str:
    """A column's name as readers see it; dotted names, keys of a configuration, are unchanged."""
    if name in _HEADINGS or "." in name:
        return _HEADINGS.get(name, name)
    first, *others = name.split("_")
    words = [_HEADINGS.get(first, first[:1].upper() + first[1:]), *(_HEADINGS.get(word, word) for word in others)]
    return " ".join(words)


def arrange(frame: pd.DataFrame, formats: Mapping[str, str] | None = None) -> list[Column]:
    """Formats a table for readers, each score with its interval."""
    formats = formats or {}
    cells = read_cells(frame)
    is_number = {name: _is_number(values, frame.dtypes.iloc[i]) for i, (name, values) in enumerate(cells.items())}
    bounds = {name: (f"{name}_low", f"{name}_high") for name in cells}
    bounds = {name: ends for name, ends in bounds.items() if all(is_number.get(each) for each in (name, *ends))}
    merged = {end for ends in bounds.values() for end in ends}
    columns = []
    for name in cells:
        if name in merged:
            continue
        spec = formats.get(name)
        if name in bounds:
            rows = zip(cells[name], *(cells[end] for end in bounds[name]), strict=True)
            texts = [show_interval(value, low, high, spec) for value, low, high in rows]
        else:
            texts = [show(value, spec) for value in cells[name]]
        values = [math.nan if is_missing(value) else float(value) if is_number[name] else None for value in cells[name]]
        columns.append(Column(create_heading(name), is_number[name], texts, values))
    return columns


def read_cells(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Values by column, NumPy's scalars as Python's own types."""
    columns = (frame.iloc[:, place].tolist() for place in range(frame.shape[1]))
    values = ([value.item() if isinstance(value, np.generic) else value for value in column] for column in columns)
    return dict(zip(map(str, frame.columns), values, strict=True))


def is_missing(value: object) -> bool:
    """Whether a cell holds no value, in any of pandas' ways."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _is_number(values: list[Any], dtype: Any) -> bool:
    known = [value for value in values if not is_missing(value)]
    if not known:
        return pd.api.types.is_numeric_dtype(dtype)
    return all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in known)


def show(value: object, spec: str | None = None) -> str:
    """A cell's text: numbers by their format (three decimals if None), with a true minus sign; a dash for no value."""
    if is_missing(value):
        return DASH
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return str(value)
    text = format(value, (_FORMAT if isinstance(value, float) else "") if spec is None else spec)
    # What rounds to zero has no sign, and a true minus is as wide as a digit.
    return text.lstrip("-") if not re.search("[1-9a-z]", text) else text.replace("-", MINUS)


def show_interval(value: object, low: object, high: object, spec: str | None = None) -> str:
    """A number with its interval in brackets, joined by a dash, or by "to" where the dash could be a minus sign."""
    if is_missing(value):
        return DASH
    text, ends = show(value, spec), (show(low, spec), show(high, spec))
    if DASH in ends:
        return f"{text} ({DASH})"
    return f"{text} ({(' to ' if ends[0].startswith(MINUS) else DASH).join(ends)})"


def show_tick(value: float, _: float | None = None) -> str:
    """The number at a tick, with no more decimals than it needs."""
    return f"{value:.6g}".replace("-", MINUS)
