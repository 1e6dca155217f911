"""The text of a CSV file of one recording: a row per sample, or per lead.

Columns are separated by comma, semicolon or tab; unless it separates columns, the comma may be the decimal mark. The
numbers may follow lines of any text, a row of names and a row of units, quoted or not; text is UTF-8 or Latin-1.
Columns of times and row numbers are no leads; `time_column` says what they state.
"""

import contextlib
import itertools
import re
from typing import NamedTuple

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers import reading, time_column
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead

_LONGEST_HEADER, _LONGEST_NAME = 100, 200  # lines; characters of a column's name
_COMMENT = ("#", "%")
_MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "?"}
_UNIT_OF_LEAD = re.compile(r"[(\[](.*)[)\]]|[ _/]([^ _/]+)$")


class Table(NamedTuple):
    """What a CSV file holds.

    Attributes:
        values: `[rows, columns]` float64; NaN where a cell is empty or says that nothing is there.
        leads: Names of the columns; empty where the file has none.
        millivolts: `[columns]`, what one unit is in mV, None where the file does not say so; empty of other files.
        notes: What was left out.
        times: Columns of times.
    """

    values: np.ndarray
    leads: tuple[str, ...] = ()
    millivolts: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()
    times: tuple[time_column.Times, ...] = ()

    @property
    def has_units(self) -> bool:
        """Whether the unit of every column is stated."""
        return bool(self.millivolts) and None not in self.millivolts


class _Header(NamedTuple):
    """What the lines above the samples hold: of each column, or nothing."""

    names: list[str]
    units: list[str]
    millivolts: list[float | None]
    notes: list[str]


_Line = tuple[int, str]


def is_numeric(line: str) -> bool:
    """True for a row of numbers, empty cells and, in front, times; but not for empty cells alone."""
    cells = line.split(_find_delimiter(line))
    return _is_row([*itertools.dropwhile(_is_clock, cells)])


def split(line: str, delimiter: str | None = None) -> list[str]:
    """Cells without spaces and quotes around them."""
    return [_strip(cell) for cell in line.split(delimiter or _find_delimiter(line))]


def read(path: str) -> Table:
    """Reads a file; raises `InputError` when it cannot be read, or is not a table of numbers."""
    return parse(path, reading.decode(reading.read_bytes(path)))


def parse(path: str, text: str) -> Table:
    """Reads the text of a file; see `read`."""
    lines = [(number, line) for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1) if line.strip()]
    start = _find_start([line for _, line in lines[:_LONGEST_HEADER]])
    if start is None:
        raise InputError(f"{path}: not a CSV of numbers; expected one row per sample")
    delimiter = _find_delimiter(lines[start][1])
    has_numbers = len(lines) > start + 1 and _numbers_columns(lines[start][1])
    start += has_numbers
    columns = lines[start][1].count(delimiter) + 1
    header = _read_header(lines[:start], delimiter, columns)
    names, notes = header.names, header.notes
    skipped = [i for i, name in enumerate(names) if time_column.is_time(name)]
    first = lines[start - has_numbers][1].split(delimiter, 1)[0]
    if not names and (_is_clock(first) or (has_numbers and not _strip(first))):  # an empty cell above numbers of rows
        skipped = [0]
    values = _parse_numbers(path, lines[start:], delimiter, columns, skipped)
    kept = [i for i in range(columns) if i not in skipped]
    if lost := lines[-1][0] - lines[start][0] + 1 - len(lines[start:]):
        notes.append(f"{lost} empty line(s) between the samples were skipped")
    times = [_measure_times(i, header, lines[start:], delimiter) for i in skipped]
    notes += [f"{each.source} is time or a number, not a lead" for each in times]
    return Table(
        values,
        tuple(names[i] for i in kept) if names else (),
        tuple(header.millivolts[i] for i in kept),
        tuple(notes),
        (*times, *time_column.find_in_words(lines[:start])),
    )


def _measure_times(column: int, header: _Header, lines: list[_Line], delimiter: str) -> time_column.Times:
    name = header.names[column] if header.names else ""
    cells = [_strip(line.split(delimiter, column + 1)[column]) for _, line in lines]
    if delimiter != ",":
        cells = [cell.replace(",", ".") for cell in cells]
    return time_column.parse(f"column {name or f'{column + 1}'!r}", name, header.units[column], cells)


def _find_start(lines: list[str]) -> int | None:
    """Place of the first row of numbers; a number alone before the names of leads is none."""
    worded = [i for i, line in enumerate(lines) if line.lstrip("#% \"'")[:1].isalpha()]
    named = [i for i in worded if {*map(canonical_lead, split(lines[i]))} & {*LEADS}]
    first = named[0] if named else -1
    early = [i for i in range(first) if len(split(lines[i])) == len(split(lines[first]))]
    return next((i for i in (*early, *range(first + 1, len(lines))) if is_numeric(lines[i])), None)


def _numbers_columns(line: str) -> bool:
    """True for a row that numbers the columns from 0, as pandas writes it, and is not a sample."""
    if not line.lstrip("\t;, \"'").startswith("0"):
        return False
    cells = split(line)
    numbers = cells[not cells[0] :]
    return len(numbers) > 2 and numbers == [*map(str, range(len(numbers)))]


def _read_header(lines: list[_Line], delimiter: str, columns: int) -> _Header:
    """Returns names (none or one per column), units of each column in words and in mV, and notes."""
    rows = [(number, split(line.lstrip("#% "), delimiter)) for number, line in lines]
    tables = [(number, cells) for number, cells in rows if len(cells) == columns]
    named = [(number, cells) for number, cells in tables if not _find_units(cells) and not _is_row(cells)]
    measured = [(number, cells) for number, cells in tables if _find_units(cells)]
    names = named[-1][1] if named else []
    in_names = [_UNIT_OF_LEAD.search(name[-_LONGEST_NAME:]) for name in names] or [None] * columns
    stated = [units.find_millivolts(found[1] or found[2] or "") if found else None for found in in_names]
    below = measured[-1][1] if measured else [""] * columns
    used = {number for number, _ in (*named[-1:], *measured[-1:])}
    unused = [str(number) for number, line in lines if number not in used and not line.startswith(_COMMENT)]
    notes = [f"line(s) {', '.join(unused)} before the samples were not read"] if unused else []
    return _Header(names, below, _find_units(below) or stated, notes)


def _find_units(cells: list[str]) -> list[float | None]:
    """What each cell of a row of units is in mV, None for a time; empty if the row is not one of units."""
    found = [units.find_millivolts(cell) for cell in cells]
    others = [cell for cell, each in zip(cells, found, strict=True) if each is None]
    is_row = len(others) < len(cells) and all(
        not cell or time_column.IS_UNIT.fullmatch(cell.lower()) for cell in others
    )
    return found if is_row else []


def _is_clock(cell: str) -> bool:
    return bool(time_column.IS_CLOCK.fullmatch(_strip(cell)))


def _parse_numbers(path: str, lines: list[_Line], delimiter: str, columns: int, skipped: list[int]) -> np.ndarray:
    for number, line in lines:  # before anything of that size is allocated
        if line.count(delimiter) + 1 != columns:
            raise InputError(f"{path}: line {number} has {line.count(delimiter) + 1} columns, the first {columns}")
    has_commas = delimiter != "," and any("," in line for _, line in lines)
    kept = [i for i in range(columns) if i not in skipped]
    if kept and not has_commas:
        with contextlib.suppress(ValueError):  # of cells that are not plain numbers, which are parsed below
            plain = (line for _, line in lines)
            return np.loadtxt(plain, delimiter=delimiter, comments=None, usecols=kept, ndmin=2)
    values = np.empty((len(lines), len(kept)))
    for row, (number, line) in zip(values, lines, strict=True):
        cells = line.split(delimiter)
        if skipped:
            cells = [cells[i] for i in kept]
        if has_commas:
            if any("." in cell for cell in cells):
                raise InputError(f"{path}: has both decimal commas and points; write numbers with one of them")
            cells = [cell.replace(",", ".") for cell in cells]
        try:
            row[:] = _parse_cells(cells)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is not all numbers ({str(error)[:80]})") from error
    return values


def _parse_cells(cells: list[str]) -> list[float]:
    try:
        return [*map(float, cells)]
    except ValueError:  # empty, quoted, or one of the words for nothing
        plain = [_strip(cell) for cell in cells]
        return [np.nan if cell.lower() in _MISSING else float(cell) for cell in plain]


def _strip(cell: str) -> str:
    return cell.strip().strip("\"'").strip()


def _find_delimiter(line: str) -> str:
    return next((character for character in "\t;" if character in line), ",")


def _is_row(cells: list[str]) -> bool:
    try:
        _parse_cells([cell.replace(",", ".") for cell in cells])
    except ValueError:
        return False
    return any(_strip(cell).lower() not in _MISSING for cell in cells)
