"""One recording as a NumPy (.npy), CSV or MATLAB (.mat) file, which do not state leads, rate or unit.

The MATLAB file holds a matrix `val`, as those of the Challenges do, whose header is lost here. A sidecar of the same
name states the rest, `NAME.json` beside `NAME.npy`, `NAME.csv` or `NAME.mat`:

  {"leads": ["I", "II", ...], "sampling_rate": 500, "unit": "mV"}

or the caller does, with `Declared`. The unit is mV, uV, V, code (2 x mV, as in the CODE files) or zscore (each lead
already normalized). A CSV whose header names the leads needs rate and unit only, and no unit where it states that, too.
NumPy pickles are not read: they run code.
"""

import dataclasses
import json
import os
import re

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers import csv_table, matlab, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, canonical_leads, create_recording

_HEAD_BYTES = 4096
_CODE_UNITS = {"code", "zscore"}  # of `units.DECLARED`, those that are no voltage
SUFFIXES = (".npy", ".csv", ".tsv")
_MAGIC = b"\x93NUMPY"
_VALUE = b"val"
_MOST_HEADER_LINES = 12  # before which a CSV without sidecar shows its numbers
_LONGEST_LIST = 200  # characters
_LARGEST_SIDECAR = 1 << 20


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a file does not state itself.

    Attributes:
        leads: Names in the order of the file; empty where a CSV's first row has them.
        sampling_rate: Hz; None if not known.
        unit: One of `units.DECLARED`, in any case; empty if not known.
    """

    leads: tuple[str, ...] = ()
    sampling_rate: float | None = None
    unit: str = ""

    def fill(self, other: "Declared") -> "Declared":
        """Takes from another what is unknown here."""
        return Declared(self.leads or other.leads, self.sampling_rate or other.sampling_rate, self.unit or other.unit)

    @property
    def is_normalized(self) -> bool:
        """Whether each lead was already divided by its standard deviation."""
        return self.unit.strip().lower() == "zscore"


def matches(path: str, head: bytes) -> bool:
    """Tells a NumPy file, a MATLAB file of `val`, or a CSV of numbers (or of anything, beside a sidecar)."""
    if head.startswith(_MAGIC) or _is_matlab(head):
        return True
    if not path.lower().endswith((".csv", ".tsv")) or b"\0" in head:
        return False
    lines = [line for line in head.decode("utf-8-sig", "replace").splitlines() if line.strip()]
    if has_sidecar(path) or not lines:
        return has_sidecar(path)
    if len(lines) <= 2 and not head.endswith(b"\n"):  # the head may end within a number
        lines[-1] = re.sub(r"[,;\t][^,;\t]*$", "", lines[-1])
    return any(csv_table.is_numeric(line) for line in lines[1:_MOST_HEADER_LINES] or lines)


def _is_matlab(head: bytes) -> bool:
    return matlab.begins_with_4(head, _VALUE) or matlab.begins_with(head, _VALUE)


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads one recording, stored [samples, leads] or [leads, samples]; a sidecar takes precedence over `declared`.

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
    values, turned = (table.values, []) if table.leads else _orient(path, table.values, len(leads))
    return create_recording(
        values,
        leads=leads,
        sampling_rate=said.sampling_rate,
        id=id or os.path.basename(path),
        millivolts_per_unit=millivolts,
        normalized=said.is_normalized,
        notes=(*ignored, *table.notes, *turned),
    )


def describe_remedy(path: str) -> str:
    """Says how to declare what a file does not state itself."""
    return f"write {os.path.basename(sidecar_path(path))} beside it or pass --file_leads, --file_rate, --file_unit"


def _read_values(path: str) -> csv_table.Table:
    head = reading.read_bytes(path, _HEAD_BYTES)
    if head.startswith(_MAGIC) or path.lower().endswith(".npy"):
        return csv_table.Table(_read_numpy(path), (), (), ())
    if _is_matlab(head):
        return csv_table.Table(_read_matlab(path), (), (), ())
    return csv_table.read(path)


def find_factor(path: str, unit: str) -> float:
    """What a declared unit is in mV, 1 for z-scores; raises `InputError` when it is unknown."""
    known = {name.lower(): factor for name, factor in units.DECLARED.items()}
    factor = known.get(unit.strip().lower(), units.find_millivolts(unit))
    if factor is None:
        raise InputError(f"{path}: unit {unit[:40]!r}; known: {', '.join(units.DECLARED)}")
    return factor


def _choose_unit(path: str, declared: str, stated: tuple[float, ...]) -> np.ndarray | float:
    """What a unit is in mV, of all leads or of each; what is declared must not contradict what the file states."""
    if not declared:
        return np.array(stated)
    factor = find_factor(path, declared)
    if stated and (declared.lower() in _CODE_UNITS or {*stated} != {factor}):
        listed = ", ".join(f"{each:g}" for each in dict.fromkeys(stated))
        raise InputError(
            f"{path}: declared as {declared}, but its header states units of {listed} mV; correct one of them"
        )
    return factor


def has_sidecar(path: str) -> bool:
    """Whether `NAME.json` is beside a file."""
    return os.path.isfile(sidecar_path(path))


def sidecar_path(path: str) -> str:
    """Where the sidecar of a file is, if it has one."""
    return os.path.splitext(path)[0] + ".json"


def read_sidecar(path: str) -> tuple[Declared, list[str]]:
    """What `NAME.json` declares, and a note on its unknown keys; raises `InputError` when it is damaged."""
    name = sidecar_path(path)
    try:
        if (size := os.path.getsize(name)) > _LARGEST_SIDECAR:
            raise ValueError(f"{size} bytes")
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
        raise InputError(f"{name}: unit is {str(unit)[:80]}; known: {', '.join(units.DECLARED)}")
    others = ", ".join(sorted(map(str, set(said) - set(known))))[:_LONGEST_LIST]
    notes = [f"{os.path.basename(name)}: key(s) {others} not known, so not read"] if others else []
    return Declared(tuple(leads), rate, unit), notes


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


def _read_matlab(path: str) -> np.ndarray:
    content = reading.read_bytes(path)
    with reading.refuse_damage(path, "matrix val"):
        values = (matlab.read_4 if matlab.begins_with_4(content, _VALUE) else matlab.read)(content, _VALUE)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: val is {values.dtype} {values.shape}; expected numbers, leads times samples")
    return values


def _orient(path: str, values: np.ndarray, count: int) -> tuple[np.ndarray, list[str]]:
    """Returns `[samples, leads]` and a note where the file has them the other way round."""
    if values.ndim == 1 and count == 1:
        return values[:, None], []
    if values.ndim != 2 or count not in values.shape:
        raise InputError(f"{path}: shape {values.shape} with {count} leads; expected [samples, leads] or the reverse")
    if values.shape == (count, count):
        raise InputError(f"{path}: shape {values.shape}: which axis is the leads' is ambiguous; it needs more samples")
    return (values, []) if values.shape[1] == count else (values.T, ["stored as [leads, samples]"])
