"""One recording as a NumPy (.npy), CSV or MATLAB (.mat) file, which do not state leads, rate or unit.

The MATLAB file holds a matrix `val`, as those of the Challenges do, whose header is lost here. A sidecar or the caller
states the rest (see `sidecars`). The unit is mV, uV, V, code (2 x mV, as in the CODE files) or zscore (each lead is
normalized). A CSV whose header names the leads needs rate and unit only, no unit where it states that, and no rate
where it has a column of times. What is stated twice must agree.
NumPy pickles are not read: they run code.
"""

import contextlib
import os
import re
from collections.abc import Sequence

import numpy as np

from ecg_jax import units
from ecg_jax.data.measures import amplitude
from ecg_jax.data.readers import csv_table, matlab, reading, time_column
from ecg_jax.data.readers.sidecars import (
    FLAGS,
    Declared,
    describe_remedy,
    find_factor,
    has_sidecar,
    refuse_misspelled,
    resolve,
    squeeze,
)
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_leads, create_recording

_HEAD_BYTES = 4096
_CODE_UNITS = {"code", "zscore"}  # of `units.DECLARED`, those that are no voltage
TEXT = (".csv", ".tsv")
SUFFIXES = (".npy", *TEXT)
_MAGIC = b"\x93NUMPY"
_VALUE = b"val"
_LONGEST_NAME, _LONGEST_LIST = 40, 200  # characters
_USUAL_RATE = 500.0  # Hz, of files that state none; beats are seen at any
_LEAD_COUNTS = {8, 12, 15}  # of recordings that nothing describes
_FEWEST_ROWS, _ROWS_PER_COLUMN = 50, 10  # of these; a second at 50 Hz
_MOST_JUDGED = 100_000  # rows
# A single number of this name, in small letters without separators, is a MATLAB file's rate; `rate` may be the heart's.
_MATLAB_RATE = re.compile(r"sampl(e|es|ing)?(rate|freq|frequency)(inhz|hz)?|fs(hz)?|sfreq")


def matches(path: str, head: bytes) -> bool:
    """Tells a NumPy file, a MATLAB file of `val`, or a CSV of numbers (or of anything, beside a sidecar)."""
    if head.startswith(_MAGIC) or _is_matlab(head):
        return True
    if not path.lower().endswith(TEXT) or b"\0" in head:
        return False
    is_whole = len(head) < _HEAD_BYTES
    return has_sidecar(path) or csv_table.begins(reading.decode(head) if is_whole else _read_head(path, b",;\t\r\n"))


def _read_head(path: str, ends: bytes) -> str:
    """The text with which a CSV begins; of a long one up to the last of `ends`, as it may be cut within a number."""
    head = reading.read_bytes(path, csv_table.HEAD_BYTES)
    return reading.decode(head if len(head) < csv_table.HEAD_BYTES else head[: max(map(head.rfind, ends))])


def _is_matlab(head: bytes) -> bool:
    return matlab.begins_with_4(head, _VALUE) or matlab.begins_with(head, _VALUE)


def find_missing(path: str) -> tuple[str, ...] | None:
    """Which fields of `Declared` a file without a sidecar lacks, as far as the first lines of a CSV tell.

    None for what does not look like a recording: a table whose first row names no lead, and an array or a table without
    names that has not as many columns (or rows, of an array) as there are leads, is too short, or holds labels or
    probabilities: nothing outside 0 to 1.
    """
    head = reading.read_bytes(path, _HEAD_BYTES)
    if _is_matlab(head):
        try:
            return _list_missing(_read_matlab(path))
        except Exception:  # noqa: BLE001 - reading will say why
            return ()
    if head.startswith(_MAGIC):
        return (*FLAGS,) if _is_signal(_map_numpy(path)) else None
    text = _read_head(path, b"\r\n")
    try:
        table = csv_table.parse(path, text)
    except Exception:  # noqa: BLE001 - reading will say why
        cells = [cell for line in text.splitlines()[: csv_table.LONGEST_HEADER] for cell in csv_table.split(line)]
        return () if _has_leads(cells) else None
    columns, is_whole = table.values.shape[1], os.path.getsize(path) < csv_table.HEAD_BYTES
    has_leads = (
        _has_leads(table.leads) if table.leads else columns in _LEAD_COUNTS and _is_signal(table.values, is_whole)
    )
    return _list_missing(table) if has_leads else None


def _list_missing(table: csv_table.Table) -> tuple[str, ...]:
    known = table.leads, any(each.is_stated or time_column.find_likely(each) for each in table.times), table.has_units
    return tuple(field for field, value in zip(FLAGS, known, strict=True) if not value)


def _is_signal(values: np.ndarray, is_whole: bool = True) -> bool:
    """Whether an array that nothing describes looks like a recording; of a part of one, its length says nothing."""
    if values.ndim != 2 or not {*values.shape} & _LEAD_COUNTS:
        return False
    if is_whole and max(values.shape) < max(_FEWEST_ROWS, _ROWS_PER_COLUMN * min(values.shape)):
        return False
    judged = values[:_MOST_JUDGED, :_MOST_JUDGED]
    return bool(((judged < 0) | (judged > 1)).any())


def _has_leads(names: Sequence[str]) -> bool:
    return not {*LEADS}.isdisjoint(canonical_leads(names))


def _map_numpy(path: str) -> np.ndarray:
    """The array, not in memory; of a damaged file, or one that holds no real numbers, an empty one."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        return mapped if mapped.dtype.kind in "fiu" else np.empty(0)
    except Exception:  # noqa: BLE001 - whatever is wrong, it is no recording to be described
        return np.empty(0)


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads one recording, stored [samples, leads] or [leads, samples]; a sidecar takes precedence over `declared`.

    Raises:
        InputError: when the file is damaged, or leads, rate or unit are missing or contradict it.
    """
    path = os.fspath(path)
    said, notes = resolve(path, ("", declared))
    table = _read_values(path)
    leads, renamed = _choose_leads(path, table.leads, said.leads)
    rate, taken = time_column.choose_rate(path, table.times, said.sampling_rate)
    found = {"leads": leads, "sampling_rate": rate, "unit": said.unit or table.has_units}
    missing = [name for name, value in found.items() if not value]
    refuse_misspelled(path, missing)
    if missing or rate is None:
        reason = "" if rate else time_column.explain_unknown(table.times)
        remedy = describe_remedy(path, missing, guess_unit(path) if "unit" in missing else "")
        raise InputError(f"{path}: {', '.join(missing)} unknown{reason}; {remedy}")
    millivolts = _choose_unit(path, said.unit.strip(), table.millivolts)
    skips = {
        kind: [each.skip for each in table.times if each.skip and each.is_broken == kind] for kind in (False, True)
    }
    values, turned = (table.values, []) if table.leads else _orient(path, table.values, len(leads))
    return create_recording(
        values,
        leads=leads,
        sampling_rate=rate,
        id=id or os.path.basename(path),
        millivolts_per_unit=millivolts,
        normalized=said.is_normalized,
        unit=float(np.ravel(millivolts)[0]) if np.ptp(millivolts) == 0 else None,
        notes=(
            *notes,
            *table.notes,
            *taken,
            *skips[False],
            *turned,
            *renamed,
            *_describe_others(leads),
        ),
        contradictions=skips[True],
    )


def guess_unit(path: str) -> str:
    """The unit in which the beats of a file that states none have an ECG's usual size; empty where none is."""
    try:
        table = _read_values(path)
        values = table.values if table.leads or table.values.shape[0] > table.values.shape[1] else table.values.T
        leads = table.leads or [*LEADS, *map(str, range(values.shape[1]))][: values.shape[1]]
        rates = [found[1] for found in map(time_column.find_likely, table.times) if found]
        recording = create_recording(values, leads=leads, sampling_rate=(rates or [_USUAL_RATE])[0], id=path)
    except Exception:  # noqa: BLE001 - whatever is wrong, it is no recording
        return ""
    fitting = amplitude.find_units(amplitude.measure_size(recording))
    return next((units.name(unit) for unit in amplitude.REAL_UNITS if fitting == (unit,)), "")


def _choose_leads(path: str, named: tuple[str, ...], declared: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Names of the columns, and a note where declared ones take the place of names that are no lead's.

    Raises:
        InputError: where a column is named as one lead and declared as another, or their numbers differ.
    """
    first, second = canonical_leads(named), canonical_leads(declared)
    if not named or not declared or first == second:
        return named or declared, []
    pairs = [*zip(first, second, strict=False)]
    if len(first) != len(second) or any(name in LEADS and name != other for name, other in pairs):
        raise InputError(
            f"{path}: its first row names {', '.join(named)}, but {', '.join(declared)} are declared; rename the "
            "columns or declare no leads"
        )
    listed = ", ".join(f"{name[:_LONGEST_NAME]} as {other}" for name, other in pairs if name != other)
    return declared, [f"columns renamed, as declared: {listed}"[:_LONGEST_LIST]]


def _describe_others(leads: Sequence[str]) -> list[str]:
    """A note on names that are none of the twelve leads, as a misspelled one."""
    others = [name[:_LONGEST_NAME] for name in canonical_leads(leads) if name not in LEADS]
    listed = ", ".join(others)[:_LONGEST_LIST]
    return [f"none of the twelve leads, so not used unless a network names it: {listed}"] if others else []


def _read_values(path: str) -> csv_table.Table:
    head = reading.read_bytes(path, _HEAD_BYTES)
    if head.startswith(_MAGIC) or path.lower().endswith(".npy"):
        return csv_table.Table(_read_numpy(path))
    if _is_matlab(head):
        return _read_matlab(path)
    return csv_table.read(path)


def _choose_unit(path: str, declared: str, stated: tuple[float | None, ...]) -> np.ndarray | float:
    """What a unit is in mV, of all leads or of each; what is declared must not contradict what the file states."""
    known = [each for each in dict.fromkeys(stated) if each is not None]
    if not declared:
        return np.array(stated, float)
    factor = find_factor(path, declared)
    if known and (declared.lower() in _CODE_UNITS or known != [factor]):
        listed = ", ".join(f"{each:g}" for each in known)
        raise InputError(
            f"{path}: declared as {declared}, but its header states units of {listed} mV; correct one of them"
        )
    return factor


def _read_numpy(path: str) -> np.ndarray:
    """Maps the file first: a header that announces more than the file holds allocates nothing."""
    with reading.refuse_damage(path, "NumPy array"):
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.dtype.kind not in "fiu":
            raise ValueError(f"dtype {mapped.dtype}, not real numbers")
        surplus = os.path.getsize(path) - mapped.offset - mapped.nbytes
        if surplus:
            raise ValueError(f"its header announces {mapped.shape} of {mapped.dtype}, {surplus} bytes more are there")
        return np.array(mapped)


def _read_matlab(path: str) -> csv_table.Table:
    content, numbers = reading.read_bytes(path), dict[str, float]()
    with reading.refuse_damage(path, "matrix val"):
        is_old = matlab.begins_with_4(content, _VALUE)
        values = (matlab.read_4 if is_old else matlab.read)(content, _VALUE)
    with contextlib.suppress(Exception):  # of variables behind it, of kinds that are not read
        numbers = {} if is_old else matlab.read_numbers(content)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: val is {values.dtype} {values.shape}; expected numbers, leads times samples")
    rates = {name: value for name, value in numbers.items() if _MATLAB_RATE.fullmatch(squeeze(name))}
    others = ", ".join(name for name in numbers if name not in rates)[:_LONGEST_LIST]
    return csv_table.Table(
        values,
        notes=(f"variable(s) {others} not read",) if others else (),
        times=tuple(time_column.state(f"variable {name!r}", value) for name, value in rates.items() if value > 0),
    )


def _orient(path: str, values: np.ndarray, count: int) -> tuple[np.ndarray, list[str]]:
    """Returns `[samples, leads]` and a note where the file has them the other way round."""
    if values.ndim == 1 and count == 1:
        return values[:, None], []
    if values.ndim != 2 or count not in values.shape:
        raise InputError(f"{path}: shape {values.shape} with {count} leads; expected [samples, leads] or the reverse")
    if values.shape == (count, count):
        raise InputError(f"{path}: shape {values.shape}: which axis is the leads' is ambiguous; it needs more samples")
    return (values, []) if values.shape[1] == count else (values.T, ["stored as [leads, samples]"])
