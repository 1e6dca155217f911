"""One recording as a NumPy (.npy), CSV or MATLAB (.mat) file, which say nothing of leads, rate or unit.

The MATLAB file holds a matrix `val`, as those of the Challenges do, whose header is lost here. A sidecar of the same
name says the rest, `NAME.json` beside `NAME.npy`, `NAME.csv` or `NAME.mat`:

  {"leads": ["I", "II", ...], "sampling_rate": 500, "unit": "mV"}

or the caller does, with `Declared`. The unit is mV, uV, V, code (2 x mV, as in the CODE
files) or zscore (each lead already normalized). A CSV whose header names the leads needs rate
and unit only, and no unit where it states that, too. NumPy pickles are not read: they run code.
"""

import dataclasses
import json
import os
import re
import tokenize

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers import csv_table, val_mat
from ecg_jax.errors import InputError
from ecg_jax.recording import UNITS, Recording, canonical_leads, create_recording

_HEAD_BYTES = 4096
_OWN_UNITS = {"code": 0.5, "zscore": 1.0}  # in mV, as far as they are
SUFFIXES = (".npy", ".csv", ".tsv")
_MAGIC = b"\x93NUMPY"
_MOST_HEADER_LINES = 12  # before which a CSV without sidecar shows its numbers
_LONGEST_LIST = 200  # characters
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
    """Tells a NumPy file, a MATLAB file of `val`, or a CSV of numbers (or of anything, beside a sidecar)."""
    if head.startswith(_MAGIC) or val_mat.matches(head):
        return True
    if not path.lower().endswith((".csv", ".tsv")) or b"\0" in head:
        return False
    lines = [line for line in head.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if has_sidecar(path) or not lines:
        return has_sidecar(path)
    if len(lines) <= 2 and not head.endswith(b"\n"):  # the head may end within a number
        lines[-1] = re.sub(r"[,;\t][^,;\t]*$", "", lines[-1])
    return any(csv_table.is_numeric(line) for line in lines[1:_MOST_HEADER_LINES] or lines)


def has_sidecar(path: str) -> bool:
    """True where `NAME.json` stands beside a file."""
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
    said, ignored = read_sidecar(path) if has_sidecar(path) else (declared or Declared(), [])
    table = _read_values(path)
    if table.leads and said.leads and canonical_leads(table.leads) != canonical_leads(said.leads):
        names = ", ".join(table.leads)
        raise InputError(f"{path}: its first row names {names}, but {', '.join(said.leads)} are declared")
    leads = table.leads or said.leads
    found = {"leads": leads, "sampling_rate": said.sampling_rate, "unit": said.unit or table.millivolts}
    missing = [name for name, value in found.items() if not value]
    if missing or said.sampling_rate is None:
        raise InputError(f"{path}: {', '.join(missing)} unknown; {describe_remedy(path)}")
    millivolts = _choose_unit(path, said.unit.strip(), table.millivolts)
    values, turned = (table.values, ()) if table.leads else _orient(path, table.values, len(leads))
    return create_recording(
        values,
        leads=leads,
        sampling_rate=said.sampling_rate,
        id=id or os.path.basename(path),
        millivolts_per_unit=millivolts,
        normalized=said.unit.strip().lower() == "zscore",
        notes=(*ignored, *table.notes, *turned),
    )


def describe_remedy(path: str) -> str:
    """Says how to declare what a file does not say of itself."""
    return f"write {os.path.basename(sidecar_path(path))} beside it or pass --file_leads, --file_rate, --file_unit"


def _read_values(path: str) -> csv_table.Table:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(_MAGIC) or path.lower().endswith(".npy"):
        return csv_table.Table(_read_numpy(path), (), (), ())
    if val_mat.matches(head):
        return csv_table.Table(val_mat.read(path), (), (), ())
    return csv_table.read(path)


def find_factor(path: str, unit: str) -> float:
    """What a declared unit is in mV; 1 for z-scores.

    Raises:
        InputError: when it is none of `UNITS`, nor another spelling of one.
    """
    factor = _OWN_UNITS.get(unit.strip().lower(), units.find_millivolts(unit))
    if factor is None:
        raise InputError(f"{path}: unit {unit[:40]!r}; known: {', '.join(UNITS)}")
    return factor


def _choose_unit(path: str, declared: str, stated: tuple[float, ...]) -> np.ndarray | float:
    """What a unit is in mV, of all leads or of each; what is declared must not contradict what the file states."""
    if not declared:
        return np.array(stated)
    factor = find_factor(path, declared)
    if stated and (declared.lower() in _OWN_UNITS or {*stated} != {factor}):
        listed = ", ".join(f"{each:g}" for each in dict.fromkeys(stated))
        raise InputError(
            f"{path}: declared as {declared}, but its header states units of {listed} mV; correct one of them"
        )
    return factor


def sidecar_path(path: str) -> str:
    """Where the sidecar of a file is, if it has one."""
    return os.path.splitext(path)[0] + ".json"


def read_sidecar(path: str) -> tuple[Declared, list[str]]:
    """What `NAME.json` declares, and a note of the keys that are not known here.

    Raises:
        InputError: when it is damaged.
    """
    name = sidecar_path(path)
    try:
        if os.path.getsize(name) > _LARGEST_SIDECAR:
            raise ValueError(f"{os.path.getsize(name)} bytes")
        with open(name, encoding="utf-8-sig") as file:
            said = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not a readable JSON sidecar ({' '.join(str(error).split())})") from error
    known = [field.name for field in dataclasses.fields(Declared)]
    if not isinstance(said, dict) or not set(said) & set(known):
        found = ", ".join(map(str, said)) if isinstance(said, dict) else type(said).__name__
        raise InputError(f"{name}: holds {found}; expected an object of {', '.join(known)}")
    leads, rate, unit = said.get("leads", []), said.get("sampling_rate"), said.get("unit", "")
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise InputError(f"{name}: leads is {str(leads)[:80]}; expected a list of names")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise InputError(f"{name}: sampling_rate is {str(rate)[:80]!r}; expected a number of Hz")
    if not isinstance(unit, str):
        raise InputError(f"{name}: unit is {str(unit)[:80]}; known: {', '.join(UNITS)}")
    others = ", ".join(sorted(map(str, set(said) - set(known))))[:_LONGEST_LIST]
    notes = [f"{os.path.basename(name)}: key(s) {others} not known, so not read"] if others else []
    return Declared(tuple(leads), rate, unit), notes


def _read_numpy(path: str) -> np.ndarray:
    """Maps the file first: a header that announces more than the file holds allocates nothing."""
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        if mapped.dtype.kind not in "fiu":
            raise ValueError(f"dtype {mapped.dtype}, not real numbers")
        surplus = os.path.getsize(path) - mapped.offset - mapped.nbytes
        if surplus:
            raise ValueError(f"its header announces {mapped.shape} of {mapped.dtype}, {surplus} bytes more are there")
        return np.array(mapped)
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable NumPy array ({' '.join(str(error).split())[:200]})") from error


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
