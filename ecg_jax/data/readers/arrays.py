"""One recording as a NumPy (.npy) or CSV file, which say nothing of leads, rate or unit.

A sidecar of the same name says it, `NAME.json` beside `NAME.npy` or `NAME.csv`:

  {"leads": ["I", "II", ...], "sampling_rate": 500, "unit": "mV"}

or the caller does, with `Declared`. The unit is mV, uV, V, code (2 x mV, as in the CODE
files) or zscore (each lead already normalized). A CSV whose first row names the leads
needs rate and unit only. Its columns are separated by comma, semicolon or tab, and where
that is not the comma, decimals may be. NumPy pickles are not read: they run code.
"""

import dataclasses
import json
import os
import tokenize

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import UNITS, Recording, canonical_lead, create_recording

MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "code": 0.5, "zscore": 1.0}
SUFFIXES = (".npy", ".csv", ".tsv")
_MAGIC = b"\x93NUMPY"
_TIME_COLUMNS = {"", "t", "time", "sample", "samples", "index", "seconds", "time_s", "time (s)", "time [s]"}
_LARGEST_SIDECAR = 1 << 20
# What NumPy raises on a damaged header: it is a Python literal, parsed as such.
_DAMAGE = (
    *(OSError, ValueError, TypeError, KeyError, SyntaxError, ArithmeticError, MemoryError),
    *(tokenize.TokenError, RecursionError),
)


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a file does not say of itself.

    Attributes:
        leads: Names in the order of the file; empty where a CSV's first row has them.
        sampling_rate: Hz; None if not known.
        unit: One of `UNITS`, in any case; empty if not known.
    """

    leads: tuple[str, ...] = ()
    sampling_rate: float | None = None
    unit: str = ""


def matches(path: str, head: bytes) -> bool:
    """Tells a NumPy file, or a CSV of numbers (or of anything, beside a sidecar)."""
    if head.startswith(_MAGIC):
        return True
    if not path.lower().endswith((".csv", ".tsv")) or b"\0" in head:
        return False
    lines = [line for line in head.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if has_sidecar(path) or not lines:
        return has_sidecar(path)
    row = lines[min(1, len(lines) - 1)]  # the second, as the first may hold names
    cells = _split(row, _delimiter(row))
    is_whole = len(lines) > 2 or head.endswith(b"\n")  # or else the head may end within a number
    return _is_numeric(cells if is_whole else cells[:-1] or cells)


def has_sidecar(path: str) -> bool:
    """True where `NAME.json` stands beside a NumPy or CSV file."""
    return os.path.isfile(sidecar_path(path))


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads one recording, stored [samples, leads] or [leads, samples].

    Args:
        path: The file.
        id: Name for messages and results; the path's last part if None.
        declared: What the file holds; a sidecar goes before it.

    Raises:
        InputError: when the file is damaged, or leads, rate or unit are missing or contradict it.
    """
    path = os.fspath(path)
    said = _read_sidecar(path) if has_sidecar(path) else declared or Declared()
    remedy = f"write {os.path.basename(sidecar_path(path))} beside it or pass --file_leads, --file_rate, --file_unit"
    try:
        with open(path, "rb") as file:
            is_numpy = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    is_numpy = is_numpy or path.lower().endswith(".npy")
    values, leads, notes = (_read_numpy(path), (), ()) if is_numpy else _read_csv(path)
    if leads and said.leads and [*map(canonical_lead, leads)] != [*map(canonical_lead, said.leads)]:
        raise InputError(f"{path}: its first row names {', '.join(leads)}, but {', '.join(said.leads)} are declared")
    leads = leads or said.leads
    missing = [
        name for name in ("leads", "sampling_rate", "unit") if not (leads if name == "leads" else getattr(said, name))
    ]
    if missing or said.sampling_rate is None:
        raise InputError(f"{path}: {', '.join(missing)} unknown; {remedy}")
    unit = said.unit.strip().lower()
    if unit not in MILLIVOLTS:
        raise InputError(f"{path}: unit {said.unit!r}; known: {', '.join(UNITS)}")
    values, turned = _orient(path, values, len(leads))
    return create_recording(
        values,
        leads=leads,
        sampling_rate=said.sampling_rate,
        id=id or os.path.basename(path),
        millivolts_per_unit=MILLIVOLTS[unit],
        normalized=unit == "zscore",
        notes=(*notes, *turned),
    )


def sidecar_path(path: str) -> str:
    """Where the sidecar of a file stands, if it has one."""
    return os.path.splitext(path)[0] + ".json"


def _read_sidecar(path: str) -> Declared:
    name = sidecar_path(path)
    try:
        if os.path.getsize(name) > _LARGEST_SIDECAR:
            raise ValueError(f"{os.path.getsize(name)} bytes")
        with open(name, encoding="utf-8-sig") as file:
            said = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not a readable JSON sidecar ({' '.join(str(error).split())})") from error
    known = [field.name for field in dataclasses.fields(Declared)]
    if not isinstance(said, dict) or not set(said) <= set(known):
        found = ", ".join(map(str, said)) if isinstance(said, dict) else type(said).__name__
        raise InputError(f"{name}: holds {found}; expected an object of {', '.join(known)}")
    leads, rate, unit = said.get("leads", []), said.get("sampling_rate"), said.get("unit", "")
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise InputError(f"{name}: leads is {str(leads)[:80]}; expected a list of names")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise InputError(f"{name}: sampling_rate is {str(rate)[:80]!r}; expected a number of Hz")
    if not isinstance(unit, str):
        raise InputError(f"{name}: unit is {str(unit)[:80]}; known: {', '.join(UNITS)}")
    return Declared(tuple(leads), rate, unit)


def _read_numpy(path: str) -> np.ndarray:
    """Maps the file first: a header that announces more than the file holds allocates nothing."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.dtype.kind not in "fiu":
            raise ValueError(f"dtype {mapped.dtype}, not real numbers")
        return np.array(mapped)
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable NumPy array ({' '.join(str(error).split())[:200]})") from error


def _read_csv(path: str) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Returns values, the leads that a first row names, and notes."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [(number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable CSV ({' '.join(str(error).split())})") from error
    if not lines:
        raise InputError(f"{path}: not a CSV of numbers; expected one row per sample")
    delimiter = _delimiter(lines[-1][1])
    first = _split(lines[0][1], delimiter)
    header = () if _is_numeric(first) else tuple(first)
    values = _parse_numbers(path, lines[bool(header) :], delimiter, len(first))
    if header and header[0].lower() in _TIME_COLUMNS:
        return values[:, 1:], header[1:], (f"column {header[0] or '1'!r} is time, not a lead",)
    return values, header, ()


def _parse_numbers(path: str, lines: list[tuple[int, str]], delimiter: str, columns: int) -> np.ndarray:
    """Rows of text as `[rows, columns]` float64; an empty cell is NaN."""
    for number, line in lines:  # before anything of that size is allocated
        if line.count(delimiter) + 1 != columns:
            raise InputError(f"{path}: line {number} has {line.count(delimiter) + 1} columns, the first {columns}")
    has_commas = delimiter != "," and any("," in line for _, line in lines)
    if has_commas and any("." in line for _, line in lines):
        raise InputError(f"{path}: has both decimal commas and points; write numbers with one of them")
    values = np.empty((len(lines), columns))
    for row, (number, line) in zip(values, lines, strict=True):
        cells = _split(line.replace(",", ".") if has_commas else line, delimiter)
        try:
            row[:] = [float(cell) if cell else np.nan for cell in cells]
        except ValueError as error:
            raise InputError(f"{path}: line {number} is not all numbers ({str(error)[:80]})") from error
    return values


def _delimiter(line: str) -> str:
    return next((character for character in "\t;" if character in line), ",")


def _split(line: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"') for cell in line.split(delimiter)]


def _is_numeric(cells: list[str]) -> bool:
    """True for numbers and empty cells, but not for empty cells alone."""
    try:
        return bool([float(cell.replace(",", ".")) for cell in cells if cell])
    except ValueError:
        return False


def _orient(path: str, values: np.ndarray, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns `[samples, leads]` and a note where the file has them the other way round."""
    if values.ndim == 1 and count == 1:
        return values[:, None], ()
    if values.ndim != 2 or count not in values.shape:
        raise InputError(f"{path}: shape {values.shape} with {count} leads; expected [samples, leads] or the reverse")
    if values.shape == (count, count):
        raise InputError(
            f"{path}: shape {values.shape}: which axis is the leads' cannot be told; it needs more samples"
        )
    if values.shape[1] == count:
        return values, ()
    return values.T, ("stored as [leads, samples]",)
