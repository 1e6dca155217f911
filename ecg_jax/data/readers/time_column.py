"""What a CSV says of its sampling rate: by a column of times, or in words above the samples (`# fs = 500 Hz`).

A time is a number, or a clock's: `0:00.002`, `10:00:00.002`, with or without a date. The unit of numbers is in the
column's name (`time_s`, `Time (ms)`) or below it; where it is in neither, numbers that count rows say nothing, and of
others the unit is the one with which the rate is a usual one.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import LOWEST_RATE

_SECONDS = {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_UNKNOWN = ("d", "s", "ms", "us", "ns")  # in which files without a unit have times: days, as a spreadsheet's, or these
_WORDS = {  # that are no lower-case prefix of the unit
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("hour", "hours", "hrs"), "h"),
    **dict.fromkeys(("minute", "minutes", "mins"), "min"),
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("msec", "msecs", "millisecond", "milliseconds", "millis"), "ms"),
    **dict.fromkeys(("µs", "μs", "usec", "microsecond", "microseconds", "micros"), "us"),
    **dict.fromkeys(("nsec", "nanosecond", "nanoseconds", "nanos"), "ns"),
}
_UNITS = "|".join(sorted((*_SECONDS, *_WORDS), key=len, reverse=True))
_CLOCK_UNIT = r"h+:mm(?::ss)?(?:\.[sm]+)?"
_NUMBERING = r"unnamed: ?\d+|samples?|index|idx|row|n|#|(?:sample|row)[ _]?(?:no\.?|num(?:ber)?|index|id)"
_TIME = r"[a-z]*[ _]?(?:date[ _]?)?(?:time(?:[ _]?stamps?)?|zeit|temps|tempo|tiempo)|date|epoch|t"
_BEHIND = rf"[ _]*[(\[]?(?:{_UNITS}|{_CLOCK_UNIT})[)\]]?"
_ALONE = rf"(?!s$|[dh]$)(?:{_UNITS})"
_IS_NUMBERING = re.compile(rf"(?:{_NUMBERING})?")
_IS_TIME = re.compile(rf"(?:(?:{_TIME}|{_NUMBERING})(?:{_BEHIND})?|s|{_ALONE})?")
IS_UNIT = re.compile(rf"[(\[]?(?:(?P<unit>{_UNITS})|{_CLOCK_UNIT})[)\]]?")  # of a row of units
_UNIT_IN_NAME = re.compile(rf".*[ _(\[](?P<behind>{_UNITS})[)\]]?|(?P<alone>{_ALONE})")
_DATE = r"\d{4}[-/.]\d\d?[-/.]\d\d?"
# 0:00.002, the time of day, with or without a date, or a date alone.
IS_CLOCK = re.compile(rf"\[?(?:{_DATE}[ T])?\d+:\d\d[\d:.,+ /-]*Z?\]?|{_DATE}")
_CLOCK = re.compile(r"(?:(\d+):(\d\d):(\d\d(?:[.,]\d+)?))|(?:(\d+):(\d\d[.,]\d+))")
_DAY = 86400.0
_IN_WORDS = re.compile(
    r"\b(?:sampl\w*[ _-]*(?:rate|freq\w*)|fs|sfreq)\b[^\d\n]{0,20}(\d{1,6}(?:[.,]\d{1,6})?)\s*(k?)", re.IGNORECASE
)
_LONGEST_LINE = 1000  # characters
_USUAL = 50.0, 20_000.0  # Hz; no rate within is another one within in another of `_UNKNOWN`
_TOLERANCE = 1e-3  # of the rate
_WHOLE = 1e-6  # how near to a whole number a step is one
_MOST_UNEVEN = 20  # rows; at 500 Hz a millimetre on ECG paper


class Times(NamedTuple):
    """A column of times, or a line.

    Attributes:
        source: What it is called in messages.
        rates: Hz by unit: of the unit that is stated, or of each possible one; empty where it says nothing.
        is_stated: Whether the unit is stated.
        error: Of the rate, relative: times may be rounded.
        unevenness: Where it skips or goes back, one line; empty where it does not.
    """

    source: str
    rates: dict[str, float]
    is_stated: bool
    error: float
    unevenness: str


def is_time(name: str) -> bool:
    """Whether a column of such a name has times or row numbers."""
    return bool(_IS_TIME.fullmatch(name.lower()))


def find_in_words(lines: Iterable[tuple[int, str]]) -> list[Times]:
    """Finds lines, by their number and text, that state a rate."""
    found = [(number, _IN_WORDS.search(line[:_LONGEST_LINE])) for number, line in lines]
    rates = {number: float(each[1].replace(",", ".")) * (1000 if each[2] else 1) for number, each in found if each}
    return [
        Times(f"line {number}", {"s": rate}, True, 0.0, "") for number, rate in rates.items() if rate >= LOWEST_RATE
    ]


def parse(source: str, name: str, unit: str, cells: Sequence[str]) -> Times:
    """Measures a column.

    Args:
        source: See `Times`.
        name: In the row of names; may be empty.
        unit: In a row of units; may be empty.
        cells: Its text; what is neither number nor clock counts as unknown.
    """
    times, is_clock = _parse_cells(cells)
    known = np.flatnonzero(np.isfinite(times))
    silent = Times(source, {}, False, 0.0, "")
    if len(known) < 2:
        return silent
    times = times[known] - times[known[0]]
    step = times[-1] / (known[-1] - known[0])  # of a row
    steps = np.diff(times) / np.diff(known)
    moving = np.abs(steps[steps != 0])
    if not moving.size:
        return silent
    error = float(np.abs(times - step * (known - known[0])).max())
    stated = "s" if is_clock else _find_unit(name.lower(), unit.lower())
    is_numbering = bool(not stated and _IS_NUMBERING.fullmatch(name.lower()))
    if step <= 0 or error > max(_MOST_UNEVEN * step, 1.01 * moving.min()):  # of a coarse clock, one step of it
        return silent if is_numbering else silent._replace(unevenness=_describe_jump(source, steps, known))
    if not stated and abs(step - round(step)) < _WHOLE and (is_numbering or round(step) == 1):
        return silent
    rates = {each: 1 / (float(step) * _SECONDS[each]) for each in ([stated] if stated else _UNKNOWN)}
    return Times(source, rates, bool(stated), 2 * error / float(times[-1]), "")


def _describe_jump(source: str, steps: np.ndarray, rows: np.ndarray) -> str:
    usual = np.median(steps)
    place = int(np.abs(steps - usual).argmax())
    jump = f"after row {rows[place] + 1} of the samples it goes on by {steps[place]:.6g}, usually by {usual:.6g}"
    return f"{source} is not even: {jump}; samples are missing or out of order"


def choose_rate(path: str, columns: Iterable[Times], declared: float | None) -> tuple[float | None, list[str]]:
    """The sampling rate that is declared, or else that of the first column that has one; and a note on that.

    Raises:
        InputError: when a column contradicts the declared rate.
    """
    found, notes, origin = declared, list[str](), "declared as"
    for times in columns:
        if found:
            _compare(path, times, found, origin)
        elif times.error <= _TOLERANCE and (likely := find_likely(times)):
            unit, found = likely[0], _round(likely[1], times.error)
            taken = "" if times.is_stated else f", its times taken for {unit}"
            origin = f"its {times.source} states"
            notes.append(f"sampling rate {found:g} Hz is that of {times.source}{taken}")
    return found, notes


def _compare(path: str, times: Times, declared: float, origin: str) -> None:
    tolerance = max(_TOLERANCE, times.error) * declared
    likely = find_likely(times)
    if likely and not any(abs(rate - declared) <= tolerance for rate in times.rates.values()):
        unit, rate = likely[0], _round(likely[1], times.error)
        raise InputError(
            f"{path}: {origin} {declared:g} Hz, but by its {times.source} there is a sample every "
            f"{1 / (rate * _SECONDS[unit]):.6g} {unit}, {rate:g} Hz; correct one of them, or "
            f"remove {times.source}"
        )


def find_likely(times: Times) -> tuple[str, float] | None:
    """Unit and rate: as stated, or else the one that is usual."""
    return next(
        (each for each in times.rates.items() if times.is_stated or _USUAL[0] <= each[1] <= _USUAL[1]),
        None,
    )


def _round(rate: float, error: float) -> float:
    """To whole Hz, where that is within the error."""
    whole = round(rate)
    return float(whole) if abs(whole - rate) <= max(error, 1e-4) * rate else rate


def _find_unit(name: str, unit: str) -> str:
    """The unit that is stated, a key of `_SECONDS`; empty where none is."""
    in_row, in_name = IS_UNIT.fullmatch(unit), _UNIT_IN_NAME.fullmatch(name)
    found = (in_row and in_row["unit"]) or (in_name and (in_name["behind"] or in_name["alone"])) or ""
    return _WORDS.get(found, found)


def _parse_cells(cells: Sequence[str]) -> tuple[np.ndarray, bool]:
    """`[rows]` float64, NaN where unknown; and whether they are seconds of a clock, which may pass midnight."""
    try:
        return np.array(cells, np.float64), False
    except ValueError:
        clock = [_CLOCK.search(cell) for cell in cells]
    if not any(clock):
        return np.array([_parse_number(cell) for cell in cells]), False
    times = np.array([_parse_clock(each) if each else np.nan for each in clock])
    known = np.isfinite(times)
    times[known] = np.unwrap(times[known], period=_DAY)
    return times, True


def _parse_clock(found: "re.Match[str]") -> float:
    hours, minutes, seconds, alone, rest = (float((part or "0").replace(",", ".")) for part in found.groups())
    return 3600 * hours + 60 * (minutes + alone) + seconds + rest


def _parse_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
