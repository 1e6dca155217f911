"""What a CSV says of its sampling rate: by a column of times, or in words above the samples (`# fs = 500 Hz`).

A time is a number, or a clock's: `0:00.002`, `10:00:00.002`, with or without a date. The unit of numbers is in the
column's name (`time_s`, `Time (ms)`) or below it; where it is in neither, numbers that count rows say nothing, and of
others the unit is the one with which the rate is a usual one.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ecg_jax.data.readers import time_steps
from ecg_jax.errors import InputError

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
_TIME = r"[a-z]*[ _]?(?:date[ _]?)?(?:time(?:[ _]?stamps?)?|zeit|temps|tempo|tiempo)|date|datum|epoch|t"
_BEHIND = rf"[ _]*[(\[]?(?:{_UNITS}|{_CLOCK_UNIT})[)\]]?"
_ALONE = rf"(?!s$|[dh]$)(?:{_UNITS})"
_IS_NUMBERING = re.compile(rf"(?:{_NUMBERING})?")
_IS_TIME = re.compile(rf"(?:(?:{_TIME}|{_NUMBERING})(?:{_BEHIND})?|s|{_ALONE})?")
IS_UNIT = re.compile(rf"[(\[]?(?:(?P<unit>{_UNITS})|{_CLOCK_UNIT})[)\]]?")  # of a row of units
_UNIT_IN_NAME = re.compile(rf".*[ _(\[](?P<behind>{_UNITS})[)\]]?|(?P<alone>{_ALONE})")
_DATE = r"(?:\d{4}[-/.]\d\d?[-/.]\d\d?|\d\d?[-/.]\d\d?[-/.](?:\d\d){1,2})"
# 0:00.002, the time of day, with or without a date, or a date alone.
IS_CLOCK = re.compile(rf"\[?(?:{_DATE},?[ T])?\d+:\d\d[\d:.,+ /-]*(?:Z|[AaPp]\.?[Mm]\.?)?\]?|{_DATE}")
_CLOCK = re.compile(r"(?:(\d+):(\d\d):(\d\d(?:[.,]\d+)?)(?: ?([AaPp])\.?[Mm])?)|(?:(\d+):(\d\d[.,]\d+))")
_DECIMALS = re.compile(r"\d[.,](\d+)(?:[Ee][+-]?\d+)?\D*$")
_DAY = 86400.0
_SAMPLING = r"\b(?:sampl\w*?[ _-]*(?:rate|freq[a-z]*)|fs|sfreq)(?:_?hz)?\b"
_NUMBER = r"(?P<number>\d+(?:[.,]\d+)?)\s*(?P<kilo>k?)"
_PER_SECOND = r"(?:hz|hertz|sps|samples|1/s|/s)"
_IN_WORDS = (  # the number behind the words, unless it is one of something else; or else the one in Hz
    re.compile(
        rf"{_SAMPLING}\s*(?:[(\[][^)\]]*[)\]])?(?:[\s:=,;\"']|\b(?:is|of|hz)\b)*{_NUMBER}(?:{_PER_SECOND}|(?![\w.]|\s+[a-z]))",
        re.IGNORECASE,
    ),
    re.compile(rf"{_SAMPLING}[^,;.]{{1,40}}?(?<![\d.,]){_NUMBER}{_PER_SECOND}", re.IGNORECASE),
)
_LONGEST_LINE = 1000  # characters
_USUAL = 50.0, 20_000.0  # Hz; no rate within is another one within in another of `_UNKNOWN`
_COMMON = (100, 125, 128, 200, 240, 250, 256, 300, 360, 400, 500, 512, 600, 800, 1000, 1024, 2000)  # Hz
_TOLERANCE = 1e-3  # of the rate
_MOST_ERROR = 2.5e-3  # of a rate that is used, or agrees with another; as of the ends of 400 rows
_WHOLE = 1e-6  # how near to a whole number a step is one


class Times(NamedTuple):
    """A column of times, or what states a rate.

    Attributes:
        source: What it is called in messages.
        rates: Hz by unit: of the unit that is stated, or of each possible one; empty where it says nothing.
        is_stated: Whether the unit is stated.
        error: Of the rate, relative: times may be rounded, and the last of n rows may be the n-th or the (n + 1)-th.
        skip: Where it skips or goes back, one line; empty where it does not.
        is_broken: Whether that is so much that the file contradicts itself.
    """

    source: str
    rates: dict[str, float]
    is_stated: bool
    error: float = 0.0
    skip: str = ""
    is_broken: bool = False


def is_time(name: str) -> bool:
    """Whether a column of such a name has times or row numbers."""
    return bool(_IS_TIME.fullmatch(name.lower()))


def find_in_words(lines: Iterable[tuple[int, str]]) -> list[Times]:
    """Finds lines, by their number and text, that state a usual rate."""
    rates = {number: _read_words(line[:_LONGEST_LINE]) for number, line in lines}
    return [state(f"line {number}", rate) for number, rate in rates.items() if rate]


def _read_words(line: str) -> float | None:
    """The rate; of 1,000 and 1.000 the reading that is usual."""
    found = next(filter(None, (each.search(line) for each in _IN_WORDS)), None)
    if not found:
        return None
    number = found["number"]
    readings = [number.replace(",", "."), *([re.sub("[.,]", "", number)] if re.search(r"[.,]\d{3}$", number) else [])]
    rates = [float(each) * (1000 if found["kilo"] else 1) for each in readings]
    return next((rate for rate in rates if _USUAL[0] <= rate <= _USUAL[1]), None)


def state(source: str, rate: float) -> Times:
    """A rate in Hz that is stated as such."""
    return Times(source, {"s": rate}, True)


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
    resolution = 0.1 ** max((len(found[1]) for cell in cells if (found := _DECIMALS.search(cell))), default=0)
    steps = time_steps.measure(times[known], known, resolution)
    stated = "s" if is_clock else _find_unit(name.lower(), unit.lower())
    is_numbering = not stated and bool(_IS_NUMBERING.fullmatch(name.lower()))
    if steps is None or (is_numbering and steps.skip):
        return Times(source, {}, bool(stated))
    skip = f"{source} is not even: {steps.skip}" if steps.skip else ""
    is_whole = abs(steps.step - round(steps.step)) < _WHOLE and (is_numbering or round(steps.step) == 1)
    if steps.step <= 0 or (is_whole and not stated):
        return Times(source, {}, False, 0.0, skip, steps.is_broken)
    rates = {each: 1 / (steps.step * _SECONDS[each]) for each in ([stated] if stated else _UNKNOWN)}
    error = max(steps.error, min(1 / (len(cells) - 1), _MOST_ERROR))
    return Times(source, rates, bool(stated), error, skip, steps.is_broken)


def choose_rate(path: str, columns: Sequence[Times], declared: float | None) -> tuple[float | None, list[str]]:
    """The sampling rate that is declared, or else that of the first column that has one; and a note on that.

    Raises:
        InputError: when a column contradicts that rate.
    """
    found, notes, origin = declared, list[str](), "declared as"
    chosen = next((each for each in columns if each.error <= _MOST_ERROR and find_likely(each)), None)
    if not declared and chosen and (likely := find_likely(chosen)):
        unit, found = likely[0], _round(likely[1], chosen.error)
        taken = "" if chosen.is_stated else f", its times taken for {unit}"
        origin = f"its {chosen.source} states"
        notes.append(f"sampling rate {found:g} Hz is that of {chosen.source}{taken}")
    if found:
        for times in columns:
            _compare(path, times, found, origin)
    return found, notes


def explain_unknown(columns: Iterable[Times]) -> str:
    """Why columns of times give no rate, in brackets; empty where there are none."""
    reasons = [
        each.skip or f"by {each.source} it is known within {100 * each.error:.2g} % only"
        for each in columns
        if each.skip or find_likely(each)
    ]
    return f" ({'; '.join(reasons)})" if reasons else ""


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
    """To the nearest common rate, or else whole Hz, where that is within the error."""
    nearest = min(_COMMON, key=lambda common: abs(common - rate)), round(rate)
    return next((float(each) for each in nearest if abs(each - rate) <= max(error, 1e-4) * each), rate)


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
    half = found[4] and found[4].lower()
    hours, minutes, seconds, alone, rest = (float((found[i] or "0").replace(",", ".")) for i in (1, 2, 3, 5, 6))
    hours = hours % 12 + (12 if half == "p" else 0) if half else hours
    return 3600 * hours + 60 * (minutes + alone) + seconds + rest


def _parse_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
