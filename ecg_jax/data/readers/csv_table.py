"""The text of a CSV file of one recording: a row per sample, or per lead.

Columns are separated by comma, semicolon or tab; unless it separates columns, the comma may be the decimal mark. The
numbers may follow lines of any text, a row of names and a row of units, quoted or not; text is UTF-8 or Latin-1.
Columns of times and row numbers are no leads; `time_column` says what they state.
"""

import contextlib
import re
from typing import NamedTuple

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers import reading, time_column
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead

HEAD_BYTES = 1 << 16  # in which a table begins
LONGEST_HEADER = 100  # lines
_LONGEST_NAME, _LONGEST_SHOWN = 200, 80  # characters of a column's name, and of a line in a message
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


def begins(text: str) -> bool:
    """Whether a text looks like a table: has a row of numbers below a header, or no other row."""
    lines = [line for _, line in _split_lines(text)[:LONGEST_HEADER]]
    return _find_start(lines) is not None


def describe_unlike(path: str) -> str:
    """Why a file is no table of numbers: its first row below names of leads, or else its second."""
    lines = _split_lines(reading.decode(reading.read_bytes(path, HEAD_BYTES)))[:LONGEST_HEADER]
    if not lines:
        return f"{path}: not a CSV of numbers: it is empty"
    named = next((i for i, (_, line) in enumerate(lines) if _names_leads(line)), 0)
    number, line = lines[min(named + 1, len(lines) - 1)]
    return (
        f"{path}: not a CSV of numbers: none of its first {len(lines)} line(s) is a row of numbers, as line {number}, "
        f"{line.strip()[:_LONGEST_SHOWN]!r}; expected one row per sample, with at most a time beside numbers"
    )


def split(line: str, delimiter: str | None = None) -> list[str]:
    """Cells without spaces and quotes around them."""
    return [_strip(cell) for cell in line.split(delimiter or _find_delimiter(line))]


def read(path: str) -> Table:
    """Reads a file; raises `InputError` when it cannot be read, or is not a table of numbers."""
    return parse(path, reading.decode(reading.read_bytes(path)))


def parse(path: str, text: str) -> Table:
    """Reads the text of a file; see `read`."""
    lines = _split_lines(text)
    start = _find_start([line for _, line in lines[:LONGEST_HEADER]])
    if start is None:
        raise InputError(describe_unlike(path))
    delimiter = _find_delimiter(lines[start][1])
    lines = [each for each in lines if each[1].strip() or delimiter in each[1]]
    has_numbers = len(lines) > start + 1 and _numbers_columns(lines[start][1])
    start += has_numbers
    columns = lines[start][1].count(delimiter) + 1
    header = _read_header(lines[:start], delimiter, columns)
    names, notes = header.names, header.notes
    first = split(lines[start][1], delimiter)
    skipped = [i for i in range(columns) if _is_clock(first[i]) or (names and time_column.is_time(names[i]))]
    if not names and has_numbers and not split(lines[start - 1][1], delimiter)[0]:  # above numbers of rows
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


def _split_lines(text: str) -> list[_Line]:
    """Lines with their numbers, but for empty ones; a row of tabs is a row of empty cells."""
    return [(number, line) for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1) if line.strip(" ")]


def _measure_times(column: int, header: _Header, lines: list[_Line], delimiter: str) -> time_column.Times:
    name = header.names[column] if header.names else ""
    cells = [_strip(line.split(delimiter, column + 1)[column]) for _, line in lines]
    if delimiter != ",":
        cells = [cell.replace(",", ".") for cell in cells]
    return time_column.parse(f"column {name or f'{column + 1}'!r}", name, header.units[column], cells)


def _find_start(lines: list[str]) -> int | None:
    """Place of the first row of numbers; a number alone before the names of leads is none."""
    first = next((i for i, line in enumerate(lines) if _names_leads(line)), -1)
    early = [i for i in range(first) if len(split(lines[i])) == len(split(lines[first]))]
    return next((i for i in (*early, *range(first + 1, len(lines))) if _is_row_of_times(split(lines[i]))), None)


def _names_leads(line: str) -> bool:
    return line.lstrip("#% \"'")[:1].isalpha() and not {*LEADS}.isdisjoint(map(canonical_lead, split(line)))


def _is_row_of_times(cells: list[str]) -> bool:
    """True for a row of numbers, empty cells and times; but not for empty cells and times alone."""
    return _is_row([cell for cell in cells if not _is_clock(cell)])


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
    named = [
        (number, cells) for number, cells in tables if any(cells) and not _find_units(cells) and not _is_row(cells)
    ]
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
    kept = [i for i in range(columns) if i not in skipped]
    with_commas = [line for _, line in lines if "," in line] if delimiter != "," else []
    has_commas = any("," in cell for line in with_commas for cell in _keep(line, delimiter, kept))
    if kept and not has_commas:
        with contextlib.suppress(ValueError):  # of cells that are not plain numbers, which are parsed below
            plain = (line for _, line in lines)
            return np.loadtxt(plain, delimiter=delimiter, comments=None, usecols=kept, ndmin=2)
    values = np.empty((len(lines), len(kept)))
    for row, (number, line) in zip(values, lines, strict=True):
        cells = _keep(line, delimiter, kept)
        if has_commas:
            if any("." in cell for cell in cells):
                raise InputError(f"{path}: has both decimal commas and points; write numbers with one of them")
            cells = [cell.replace(",", ".") for cell in cells]
        try:
            row[:] = _parse_cells(cells)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is not all numbers ({str(error)[:80]})") from error
    return values


def _keep(line: str, delimiter: str, kept: list[int]) -> list[str]:
    cells = line.split(delimiter)
    return cells if len(kept) == len(cells) else [cells[i] for i in kept]


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
