"""What a file does not state itself: in a sidecar, `NAME.json` beside `NAME.csv`, or by whoever reads it.

  {"leads": ["I", "II", ...], "sampling_rate": 500, "unit": "mV"}

A sidecar is about one file, `folder.json` about all beside it that state nothing themselves, the flags of a command
about many: where several state something, the first of these counts, and a note names both. A key that may be one of
the three, misspelled, is refused where that one remains unknown. A JSON that states none of the three is no sidecar.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ecg_jax import units
from ecg_jax.errors import InputError, suggest
from ecg_jax.recording import Recording, canonical_leads

FLAGS = {"leads": "--file_leads", "sampling_rate": "--file_rate", "unit": "--file_unit"}  # of the fields of `Declared`
SPELLINGS = {  # of the same, in small letters without separators
    "leads": ("leads", "leadnames", "signame"),
    "sampling_rate": ("samplingrate", "samplingfrequency", "samplerate", "fs", "frequency", "freq", "rate"),
    "unit": ("unit", "units"),
}
OF_FOLDER = "folder.json"  # states what its neighbours do not
_EXAMPLES = {"leads": '["I", "II", ...]', "sampling_rate": "500", "unit": '"UNIT"'}
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

    @property
    def is_normalized(self) -> bool:
        """Whether each lead was already divided by its standard deviation."""
        return self.unit.strip().lower() == "zscore"


def resolve(path: str, *others: tuple[str, Declared | None]) -> tuple[Declared, list[str]]:
    """What the sidecar of a file states, and what others state where it does not; see `merge`.

    Raises:
        InputError: when the sidecar is damaged.
    """
    said = [(os.path.basename(name), *_read(name)) for name in list_sidecars(path) if os.path.isfile(name)]
    merged, notes = merge(*((name, declared) for name, declared, _ in said), *others)
    return merged, [note for *_, unknown in said for note in unknown] + notes


def merge(*sources: tuple[str, Declared | None]) -> tuple[Declared, list[str]]:
    """Of each field what the first source states, and notes on those that state something else.

    Args:
        *sources: What they are called in notes, the flags of a command "", and what they state.
    """
    merged, notes = Declared(), list[str]()
    for field, flag in FLAGS.items():
        stated = [(name or flag, getattr(said, field)) for name, said in sources if said and getattr(said, field)]
        if stated:
            merged = dataclasses.replace(merged, **{field: stated[0][1]})
        notes += [
            f"{field} {_show(value)} of {name} is not used: {stated[0][0]} states {_show(stated[0][1])}"
            for name, value in stated[1:]
            if _normalize(field, value) != _normalize(field, stated[0][1])
        ]
    return merged, notes


def _show(value: Any) -> str:
    text = ",".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    return text[:_LONGEST_LIST]


def _normalize(field: str, value: Any) -> Any:
    """Equal for two spellings of the same."""
    if field == "leads":
        return canonical_leads(value)
    return value if field == "sampling_rate" else units.find_millivolts(value) or value.strip().lower()


def compare(recording: Recording, given: Declared | None) -> Recording:
    """A recording whose file states everything, with notes where the flags state something else."""
    unit = "" if recording.unit is None else "zscore" if recording.normalized else units.name(recording.unit)
    stated = Declared(recording.leads, recording.sampling_rate, unit)
    _, notes = merge(("the file", stated), ("", given))
    return dataclasses.replace(recording, notes=(*recording.notes, *notes)) if notes else recording


def find_factor(path: str, unit: str) -> float:
    """What a declared unit is in mV, 1 for z-scores; raises `InputError` when it is unknown."""
    known = {name.lower(): factor for name, factor in units.DECLARED.items()}
    factor = known.get(unit.strip().lower(), units.find_millivolts(unit))
    if factor is None:
        raise InputError(f"{path}: unit {unit[:40]!r}; known: {', '.join(units.DECLARED)}")
    return factor


def describe_remedy(path: str, missing: Iterable[str] = FLAGS, unit: str = "") -> str:
    """Says how to declare what a file does not state itself; `unit` is the one that its signal fits, if one does."""
    missing = list(missing)
    example = ", ".join(f'"{field}": {_EXAMPLES[field]}' for field in missing).replace("UNIT", unit or "UNIT")
    example = f"{{{example}}}"
    if "unit" in missing:
        example += " (its beats fit this unit)" if unit else f" (UNIT is one of {', '.join(units.DECLARED)})"
    name = os.path.basename(sidecar_path(path))
    where = f"write them into {name}" if os.path.isfile(sidecar_path(path)) else f"write {name} beside it"
    flags = ", ".join(FLAGS[field] for field in missing)
    return (
        f"{where}, as {example}, or {OF_FOLDER}, for all files beside it; or pass {flags} (of predict, embed and "
        "explain)"
    )


def drop_stated(path: str, fields: Sequence[str]) -> tuple[str, ...]:
    """Those of some fields that no sidecar states; none where one is damaged, as reading will say."""
    try:
        said, _ = resolve(path)
    except InputError:
        return ()
    return tuple(field for field in fields if not getattr(said, field))


def has_sidecar(path: str) -> bool:
    """Whether `NAME.json` is beside a file and states something of it, or seems to, or is damaged."""
    if not os.path.isfile(sidecar_path(path)):
        return False
    try:
        said = _load(sidecar_path(path))
    except InputError:  # reading will report it
        return True
    return any(key in FLAGS or _find_hint(key, FLAGS) for key in said)


def sidecar_path(path: str) -> str:
    """Where the sidecar of a file is, if it has one."""
    return os.path.splitext(path)[0] + ".json"


def list_sidecars(path: str) -> list[str]:
    """Where the sidecars of a file are, if it has them: its own, which counts first, and its folder's."""
    return [sidecar_path(path), os.path.join(os.path.dirname(path), OF_FOLDER)]


def read_sidecar(path: str) -> tuple[Declared, list[str]]:
    """What `NAME.json` declares, and a note on its other keys; raises `InputError`, see `resolve`."""
    return _read(sidecar_path(path))


def _read(name: str) -> tuple[Declared, list[str]]:
    said = _load(name)
    leads, rate, unit = said.get("leads", []), said.get("sampling_rate"), said.get("unit", "")
    if not isinstance(leads, list) or not all(isinstance(lead, str) for lead in leads):
        raise InputError(f"{name}: leads is {str(leads)[:80]}; expected a list of names")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0):
        raise InputError(f"{name}: sampling_rate is {str(rate)[:80]!r}; expected a number of Hz")
    if not isinstance(unit, str):
        raise InputError(f"{name}: unit is {str(unit)[:80]}; known: {', '.join(units.DECLARED)}")
    others = ", ".join(sorted(set(said) - set(FLAGS)))[:_LONGEST_LIST]
    if set(said).isdisjoint(FLAGS):
        notes = [f"{os.path.basename(name)}: states none of {', '.join(FLAGS)}, so not read"]
    else:
        notes = [f"{os.path.basename(name)}: key(s) {others} not known, so not read"] if others else []
    return Declared(tuple(leads), rate, unit), notes


def list_missing(stated: Declared) -> list[str]:
    """The fields that are unknown."""
    return [field for field in FLAGS if not getattr(stated, field)]


def refuse_misspelled(path: str, missing: Sequence[str]) -> None:
    """Raises `InputError` where a sidecar has a key that may mean one of the fields that remain unknown."""
    there = [name for name in list_sidecars(path) if missing and os.path.isfile(name)]
    for file, key in [(name, key) for name in there for key in sorted(set(_load(name)) - set(FLAGS))]:
        if hint := _find_hint(key, missing):
            raise InputError(f"{file}: key {key[:80]!r} is unknown{hint}")


def _find_hint(key: str, fields: Iterable[str]) -> str:
    """The end of a message on an unknown key that may mean one of some fields; empty where it means none."""
    meant = next((field for field in fields if squeeze(key) in SPELLINGS[field]), key)
    return suggest(meant, fields)


def _load(name: str) -> dict[str, Any]:
    """The object in a sidecar without what is null; empty where it holds none, or far more than a sidecar."""
    try:
        if os.path.getsize(name) > _LARGEST_SIDECAR:
            return {}
        with open(name, encoding="utf-8-sig") as file:
            said = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name}: not a readable JSON sidecar ({' '.join(str(error).split())})") from error
    return {key: value for key, value in said.items() if value is not None} if isinstance(said, dict) else {}


def squeeze(key: str) -> str:
    """A key in small letters without separators, as in `SPELLINGS`."""
    return re.sub(r"[\W_]", "", key.lower())
