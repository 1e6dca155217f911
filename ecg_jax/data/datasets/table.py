"""The tables that data sets come with: read as text, checked, with errors that name the line."""

import codecs
import csv
import os

import numpy as np
import pandas as pd

from ecg_jax import files, spreadsheet
from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.errors import InputError

KNOWN_COLUMNS = ("id", "path", "split", "patient_id", *label_lib.SIX, label_lib.ABNORMAL)
FOLD = "strat_fold"
_SPLITS = {name: name for name in SPLITS} | {"val": "validation", "valid": "validation"}
_LONGEST_HEADER = 1 << 20  # characters


def read_table(path: str, required: tuple[str, ...] = ()) -> pd.DataFrame:
    """Reads a CSV as text, so that `007` stays what it is.

    Its delimiter is a comma, a semicolon or a tab; a byte-order mark is skipped; names of columns are compared in any
    case where they are required or `KNOWN_COLUMNS`.

    Returns:
        Every column as str, NaN where empty or blank. The index counts the file's rows from 0, past blank lines, which
        are left out: a row's line is its index + 2.

    Raises:
        InputError: when it is missing, empty, not a CSV, names a column twice or lacks a required one.
    """
    try:
        encoding = _detect_encoding(path)
        with open(path, encoding=encoding, newline="") as text:
            delimiter, names = _split_header(text.readline(_LONGEST_HEADER))
        with open(path, "rb") as content:
            has_apostrophe = any(b"'" in block for block in iter(lambda: content.read(1 << 20), b""))
        table = pd.read_csv(path, sep=delimiter, encoding=encoding, dtype=str, skip_blank_lines=False)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{files.suggest(path)}") from error
    except (OSError, ValueError, csv.Error, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a readable CSV ({' '.join(str(error).split())})") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{path}: line 2 has more fields than line 1, which names {len(table.columns)} columns")
    duplicated = sorted({name for name in names if name and names.count(name) > 1})
    if duplicated:
        raise InputError(f"{path}: line 1 names column {', '.join(duplicated)} more than once; rename or remove one")
    if has_apostrophe:
        table = spreadsheet.restore_table(table)
    return standardize(table, path, required)


def standardize(table: pd.DataFrame, path: str, required: tuple[str, ...] = ()) -> pd.DataFrame:
    """A table, wherever it was read, without blank cells and rows, its columns spelled as `read_table` says.

    Raises:
        InputError: when it is empty, or lacks a required column.
    """
    table = table.apply(_empty_blanks).dropna(how="all")
    table.columns = _standardize_names([str(column).strip() for column in table.columns], required, path)
    missing = [column for column in required if column not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise InputError(f"{path}: no column {', '.join(missing)}; it has {found}; rename one, or pass the right CSV")
    if table.empty:
        raise InputError(f"{path}: no rows")
    return table


def has_column(path: str, name: str) -> bool:
    """Whether a CSV's first line names a column, in any case; False for a file that is no CSV. Never raises."""
    try:
        with open(path, encoding=_detect_encoding(path), errors="replace", newline="") as text:
            _, names = _split_header(text.readline(_LONGEST_HEADER))
    except (OSError, ValueError, csv.Error):
        return False
    return name.lower() in [found.lower() for found in names]


def _detect_encoding(path: str) -> str:
    files.measure(path)
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _empty_blanks(column: pd.Series) -> pd.Series:
    """NaN for cells of nothing but spaces."""
    if not pd.api.types.is_string_dtype(column):
        return column
    blank = column.str.strip().eq("")
    return column.mask(blank) if blank.any() else column


def _split_header(line: str) -> tuple[str, list[str]]:
    """The delimiter that makes most of the first line, and the names it separates."""
    rows = {delimiter: next(csv.reader([line], delimiter=delimiter), []) for delimiter in ",;\t"}
    delimiter = max(rows, key=lambda d: len(rows[d]))
    return delimiter, [spreadsheet.restore(name.strip()) for name in rows[delimiter]]


def _standardize_names(names: list[str], required: tuple[str, ...], path: str) -> list[str]:
    """Gives required and known columns their own spelling, where a table has them in another case."""
    standard = {name.lower(): name for name in (*KNOWN_COLUMNS, *required)}
    found: dict[str, str] = {}
    for name in names:
        wanted = standard.get(name.lower(), name)
        if wanted in names:
            continue
        if wanted in found:
            raise InputError(f"{path}: line 1 names both {found[wanted]} and {name}; rename or remove one")
        found[wanted] = name
    spelled = {name: wanted for wanted, name in found.items()}
    return [spelled.get(name, name) for name in names]


def parse_ids(column: pd.Series, source: str) -> np.ndarray:
    """A column of unique names as `[N]` str; an empty or repeated one raises `InputError` with its line."""
    ids = parse_text(column, source)
    require_unique(ids, column, source)
    return ids


def parse_integer_ids(column: pd.Series, source: str) -> np.ndarray:
    """A column of unique whole numbers as `[N]` str; others raise `InputError`, see `parse_ids`."""
    ids = parse_integers(column, source).astype(str)
    require_unique(ids, column, source)
    return ids


def require_unique(ids: np.ndarray, column: pd.Series, source: str) -> None:
    """Raises `InputError`, with two lines, when an id that was read from `column` is there more than once."""
    values, counts = np.unique(ids, return_counts=True)
    if (repeated := np.flatnonzero(counts > 1)).size:
        rows = np.flatnonzero(ids == values[repeated[0]])
        is_line = not isinstance(column.index[0], str)  # see `labels.locate`
        numbers = " and ".join(map(str, column.index[rows[:2]] + 2 if is_line else rows[:2] + 1))
        raise InputError(
            f"{source}: {'lines' if is_line else 'rows'} {numbers}, column {column.name!r}: recording "
            f"{values[repeated[0]]} occurs {len(rows)} times; ids are unique"
        )


def require(is_valid: np.ndarray | pd.Series, column: pd.Series, source: str, expected: str) -> None:
    """Raises `InputError` on the first value that is not valid, naming its line, the value and what was expected."""
    bad = np.flatnonzero(~np.asarray(is_valid))
    if bad.size:
        value = column.iloc[bad[0]]
        found = "is empty" if pd.isna(value) else f"holds {str(value)[:80]!r}"
        raise InputError(
            f"{source}: {label_lib.locate(column.index[bad[0]])}, column {column.name!r} {found}; {expected}"
        )


def require_rows(table: pd.DataFrame, source: str, count: int, file: str) -> None:
    """Raises `InputError` unless a table has as many rows as its file has recordings."""
    if len(table) != count:
        raise InputError(f"{source}: {len(table)} rows against {count} recordings in {file}; row i must be recording i")


def parse_text(column: pd.Series, source: str) -> np.ndarray:
    """A column's values as `[N]` str; an empty one raises `InputError` with its line."""
    require(column.notna(), column, source, "fill it in, or remove the line")
    return column.str.strip().to_numpy(str)


def parse_integers(column: pd.Series, source: str) -> np.ndarray:
    """A column's values as `[N]` int64 (`12` or `12.0`); any other raises `InputError` with its line."""
    numbers = pd.to_numeric(column, errors="coerce")
    require(column.notna(), column, source, "fill it in, or remove the line")
    require(numbers == numbers.round(), column, source, "expected a whole number")
    return numbers.to_numpy(np.int64)


def parse_folds(column: pd.Series, source: str) -> np.ndarray:
    """PTB-XL's folds, `[N]` int64 from 1 to 10; any other value raises `InputError` with its line."""
    folds = parse_integers(column, source)
    require((folds >= 1) & (folds <= 10), column, source, "folds are 1 to 10")
    return folds


def split_by_fold(folds: np.ndarray) -> np.ndarray:
    """PTB-XL's split, `[N]` str: folds 1 to 8 train, 9 validates, 10 tests."""
    return np.select([folds == 10, folds == 9], ["test", "validation"], "train")


def parse_split(column: pd.Series, source: str) -> np.ndarray:
    """A column of `train`, `validation` (or `val`) or `test` as `[N]` str; others raise `InputError` with the line."""
    values = column.astype(str).str.strip().str.lower().map(_SPLITS)
    require(values.notna(), column, source, f"expected {', '.join(SPLITS)}")
    return values.to_numpy(str)


def parse_dates(column: pd.Series) -> np.ndarray:
    """A column of dates in ISO 8601 as `[N]` float64 in years (1984.87), NaN where it is not a date."""
    moments = pd.to_datetime(column, errors="coerce", format="ISO8601")
    seconds = 3600 * moments.dt.hour + 60 * moments.dt.minute + moments.dt.second
    days = moments.dt.day_of_year - 1 + seconds / 86_400
    years = moments.dt.year + days / np.where(moments.dt.is_leap_year, 366, 365)
    return years.to_numpy(np.float64).round(4)  # to the hour


def format_dates(years: np.ndarray) -> np.ndarray:
    """Dates in years as text to the hour, `[N]` str, empty where unknown, the inverse of `parse_dates`."""
    known = np.isfinite(years)
    start = (np.floor(np.where(known, years, 1970)) - 1970).astype(np.int64).astype("datetime64[Y]")
    seconds = ((start + 1).astype("datetime64[s]") - start.astype("datetime64[s]")).astype(np.float64)
    hours = np.rint(np.where(known, years % 1, 0) * seconds / 3600).astype("timedelta64[h]")
    return np.where(known, (start.astype("datetime64[h]") + hours).astype("datetime64[m]").astype(str), "")


def open_folder(name: str, source: str, csv: str, required: tuple[str, ...]) -> tuple[str, str, pd.DataFrame]:
    """A data set's folder, the path of a CSV in it and its table; see `require_folder`, `read_table`."""
    folder = require_folder(name, source)
    path = os.path.join(folder, csv)
    return folder, path, read_table(path, required)


def require_folder(name: str, source: str) -> str:
    """Returns `source` if it is a folder, else raises `InputError` saying how to give one."""
    if not source or not os.path.isdir(source):
        raise InputError(
            f"data set {name}: source {source!r} is not a folder; pass --config.data.source=DIR where its files are"
        )
    return source


def keep_present(
    table: pd.DataFrame, paths: list[str], source: str, suffix: str = ""
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Leaves out the rows of a table whose recordings (`path + suffix`) were not downloaded.

    Returns:
        The other rows, their paths, and a note if any was left out.

    Raises:
        InputError: when none is there.
    """
    present = np.array([os.path.isfile(path + suffix) for path in paths], bool)
    if not present.any():
        raise InputError(f"{source}: none of its {len(paths)} recordings is there, the first {paths[0]}; download some")
    absent = np.count_nonzero(~present)
    notes = [f"{absent} of {len(paths)} recordings are not there; left out"] if absent else []
    return table[present], [path for path, is_there in zip(paths, present, strict=True) if is_there], notes


def describe_absent(table: pd.DataFrame, paths: list[str], present: list[bool], source: str, remedy: str) -> list[str]:
    """A note on how many of a table's recordings are not there; they stay, and reading one says so.

    Raises:
        InputError: when none is there.
    """
    absent = [row for row, is_there in enumerate(present) if not is_there]
    if not absent:
        return []
    line, path = table.index[absent[0]] + 2, paths[absent[0]]
    found = f"line {line}: {len(absent)} of its {len(paths)} records are not there, the first {path}"
    if len(absent) == len(paths):
        raise InputError(f"{source}: {found}; {remedy}")
    return [f"{os.path.basename(source)}, {found}"]
