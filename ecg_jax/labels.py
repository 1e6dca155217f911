"""Labels of an ECG: their names, and their values: of a finding 1, 0 or NaN (unknown), of a number any or NaN.

The meaning of the findings' names is in `ecg_jax.statements`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_jax import columns, statements
from ecg_jax.errors import InputError, suggest
from ecg_jax.printable import list_some

SIX = tuple(statements.SIX)
ABNORMAL = statements.ABNORMAL
ALL = ("all",)  # every label that a data set offers
STATEMENTS = "statements"  # every statement that a data set offers
_GROUPS = {"six": SIX, "superclasses": statements.SUPERCLASSES}
CHOICES = "`six`, `abnormal`, `superclasses`, `statements`, and label names, separated by commas; or `all`"
# Columns, in lower case, that state who, where and when, even where they hold nothing but 0 and 1; see also `columns`.
_FACTS = frozenset(
    [
        *("split", "trace_file", "ecg_time", "fold", "strat_fold", "source", "age", "sex", "gender", "is_male"),
        *("sampling_rate", "sampling_weight", "scp_codes"),
    ]
)
_SHOWN = 5  # columns that are no labels


class Offered(tuple[str, ...]):
    """Names of which `select` takes those that a data set offers, and ignores the others."""


class Numbers(tuple[str, ...]):
    """Names of numbers: no findings, so `select` finds none; `Dataset.measure` takes them from the attributes."""


_STATES = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "0.0": 0.0, "1.0": 1.0, "": np.nan, "nan": np.nan}


def resolve(labels: str) -> tuple[str, ...]:
    """Turns the setting `labels`, as `CHOICES` says, into distinct label names, in their order.

    `STATEMENTS` stays as it is, for `choose` to expand.

    Raises:
        InputError: when it names no label, one twice, or `all` beside others.
    """
    words = [word.strip() for word in labels.split(",") if word.strip()]
    if not words or len(set(words)) != len(words):
        raise InputError(f"data.labels is {labels!r}; expected {CHOICES}, each once")
    if ALL[0] in words and len(words) > 1:
        raise InputError(f"data.labels is {labels!r}; 'all' excludes others, as it takes every label that there is")
    names = tuple(dict.fromkeys(name for word in words for name in _GROUPS.get(word, (word,))))
    if twice := [name for name in names if find_alias(name) in names]:
        raise InputError(f"data.labels is {labels!r}, but {' and '.join(twice)} are names of one label; remove one")
    return names


def find_alias(name: str) -> str:
    """The other name of one of the six diagnoses (CRBBB of RBBB, RBBB of CRBBB); empty for any other label."""
    other = statements.SIX.get(name) or statements.column_name(name)
    return "" if other == name else other


def choose(
    names: Sequence[str], offered: Sequence[str], source: str, is_stated: Callable[[str], bool] = lambda name: True
) -> dict[str, str]:
    """Finds the wanted labels among those that are offered, by either of their names for the six diagnoses.

    Args:
        names: The wanted labels; `STATEMENTS` means each of the vocabulary that is offered and not named; `Offered`,
            those of them that are there.
        offered: Names.
        source: File name for messages.
        is_stated: Whether an offered name may be one of `STATEMENTS`.

    Returns:
        Offered name by wanted name, in the order of `names`.

    Raises:
        InputError: when there is no such label, naming those there are.
    """
    found: dict[str, str] = {}
    missing = []
    available = set(offered)
    for name in dict.fromkeys(names):
        if name == STATEMENTS and name not in available:
            named = {*names, *map(find_alias, names)}
            wanted = map(statements.column_name, statements.STATEMENTS)
            places = [(name, place) for name in wanted if (place := _place(name, available)) and is_stated(place)]
            found |= {name: place for name, place in places if name not in named}
            if not places:
                missing.append("of the statements")
        elif place := _place(name, available):
            found[name] = place
        else:
            missing.append(name)
    if missing and not isinstance(names, Offered):
        raise InputError(
            f"{source}: no label {', '.join(missing)}; there are: {', '.join(offered)}{suggest(missing[0], offered)}"
        )
    return found


def _place(name: str, offered: set[str]) -> str:
    return next((place for place in (name, find_alias(name)) if place in offered), "")


def select(
    names: Sequence[str], derived: Mapping[str, np.ndarray], table: pd.DataFrame | None, source: str
) -> dict[str, np.ndarray]:
    """Collects the wanted labels: from `derived` (`[records]`) where it has them, else from the table's columns.

    Args:
        names: See `choose`; `ALL` for every one in `derived` and every other column of the table that `is_label`.
        derived: Arrays in {1, 0, NaN} that a data set computes itself.
        table: See `parse_column`.
        source: File name for messages.

    Returns:
        `[records]` float32 in {1, 0, NaN} by name, in the order of `names`.
    """
    if isinstance(names, Numbers):
        return {}
    table = pd.DataFrame() if table is None else table
    if tuple(names) == ALL:
        names = [*derived, *(name for name in table if name not in derived and is_label(table[name]))]
    chosen = choose(
        names,
        list(dict.fromkeys([*derived, *map(str, table.columns)])),
        source,
        lambda name: name in derived or is_label(table[name]),
    )
    return {
        name: np.asarray(derived[place] if place in derived else parse_column(table[place], source), np.float32)
        for name, place in chosen.items()
    }


def describe_choice(names: Sequence[str], table: pd.DataFrame) -> list[str]:
    """For `ALL` labels of a user's table: lines that name them, and say why other columns are none.

    For others a line for each that is read from a column of another name; for `Offered` ones also a line on the table's
    other columns of 0 and 1.
    """
    if isinstance(names, Numbers):
        return []
    if tuple(names) != ALL:
        places = {name: _place(name, {*table}) for name in names}
        lines = [f"{name}: read from column {place}" for name, place in places.items() if place not in ("", name)]
        others = [name for name in table if name not in places.values() and is_label(table[name])]
        if isinstance(names, Offered) and others:
            lines.append(f"{len(others)} columns of 0 and 1 are not used: {list_some(others)}")
        return lines
    chosen = [str(name) for name in table if is_label(table[name])]
    others = [table[name] for name in table if str(name) not in chosen and not is_fact(str(name))]
    chosen += ["scp_codes (its statements)"] if "scp_codes" in table else []
    lines = [f"columns taken as labels: {', '.join(chosen) or 'none'}", *map(_explain, others[:_SHOWN])]
    return lines + ([f"{len(others) - _SHOWN} more columns are no labels"] if len(others) > _SHOWN else [])


def is_fact(name: str) -> bool:
    """Whether a column is named as one that states who, where or when."""
    return name.lower() in _FACTS or columns.canonical(name) in (*columns.RECORDING, *columns.PATIENT)


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
    return f"column {column.name} is no label: {locate(column.index[bad[0]])} holds {value!r}; a label is 0, 1 or empty"


def _normalize(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip().str.lower()


def locate(index: int | str) -> str:
    """The place of a table's row: the line of a CSV, by its number from 0, or what is said in words already."""
    return index if isinstance(index, str) else f"line {index + 2}"


def parse_column(column: pd.Series, source: str) -> np.ndarray:
    """Reads a CSV column of labels: 0, 1, true, false (any case), or empty for unknown, as float32 in {1, 0, NaN}.

    Raises:
        InputError: naming the line (the header is line 1; the column's index counts rows from 0) and the value found.
    """
    lower = _normalize(column)
    bad = np.flatnonzero(~lower.isin(list(_STATES)))
    if bad.size:
        value = str(column.iloc[bad[0]]).strip()
        raise InputError(
            f"{source}: {locate(column.index[bad[0]])}, column {column.name!r} holds {value}; "
            f"a label is 0, 1 or empty for unknown ({bad.size} such value(s))"
        )
    return lower.map(_STATES).to_numpy(np.float32)
