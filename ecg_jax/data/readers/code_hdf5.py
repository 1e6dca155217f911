"""The CODE group's HDF5 layout: `tracings` [N, samples, 12], with or without `exam_id`.

Rate and unit are what a sidecar states (`NAME.json`, see `sidecars`), what the caller declares, or what attributes of
`tracings` or of the file state: `sampling_rate` (or `fs`, ...), `unit` and `leads`. Where nothing does, they are
CODE's, if the file agrees with that (see `code_convention`): 4096 samples at 400 Hz, about 2 x mV. The group's own
conversion was run with a scale of 2, and the median range of lead II is 1.8 times PTB-XL's. They are halved here, so
that a `Recording` is in millivolts; the default input contract doubles them again, exactly.
"""

import dataclasses
import functools
import os
import re
from collections.abc import Iterable, Mapping

import numpy as np

from ecg_jax.data.readers import code_convention, hdf5_file, sidecars
from ecg_jax.data.readers.sidecars import SPELLINGS, Declared
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

CODE = Declared(LEADS, code_convention.SAMPLING_RATE, "code")  # of files that are known to be the group's
_EXAMS, _SMALLEST_EXAM = 256, 256  # any file may hold so many; bytes


def matches(path: str, head: bytes) -> bool:
    """Tells an HDF5 file with `tracings`, or one too damaged to say what it holds."""
    return hdf5_file.has_array(path, head, "tracings") is not False


def read_ids(path: str) -> np.ndarray:
    """Returns the exams' ids, `[N]` int64; without `exam_id` in the file, the row numbers.

    Raises:
        InputError: when the file is missing, damaged or of another layout.
    """
    count = _measure(path, hdf5_file.find_version(path))[0]
    if "exam_id" not in hdf5_file.list_names(path):
        return np.arange(count)
    shape = hdf5_file.describe(path, "exam_id")
    if np.prod(shape, dtype=float) != count:
        raise InputError(f"{path}: {shape[0]} exam_id against {count} tracings; they must pair up")
    try:
        return hdf5_file.read_array(path, "exam_id").reshape(-1).astype(np.int64)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: exam_id cannot be read ({reason}); expected whole numbers") from error


def read(path: str, row: int, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads one exam; the zeros that pad it on both sides are marked invalid. See the module for `declared`.

    Raises:
        InputError: when the file is missing, truncated or of another layout, has no such row, or states neither rate
            nor unit while it does not agree with CODE's.
    """
    version = hdf5_file.find_version(path)
    shape = _measure(path, version)
    if not 0 <= row < shape[0]:
        raise InputError(f"{path}: row {row} cannot be read (it has {shape[0]} rows)")
    stated, notes = find_stated(path, "tracings", declared)
    assumed = [name for name in ("sampling_rate", "unit") if not getattr(stated, name)]
    if not assumed:
        return _read(path, row, id, stated, notes)
    if wrong := _judge(path, stated, shape, version):
        raise InputError(f"{path}: {_describe_refusal(path, assumed, wrong)}")
    notes.append(f"{_list(assumed)} not stated, CODE's 400 Hz and 2 units per mV assumed")
    recording = _read(path, row, id, dataclasses.replace(CODE, leads=stated.leads), notes)
    doubt = code_convention.contradict_exam(recording) if shape[0] < code_convention.MANY else ""
    return dataclasses.replace(recording, contradictions=(_describe_refusal(path, assumed, doubt),) if doubt else ())


def _list(fields: Iterable[str]) -> str:
    return " and ".join(field.replace("_", " ") for field in fields)


def _describe_refusal(path: str, missing: Iterable[str], reason: str) -> str:
    return f"{_list(missing)} not stated, and not CODE's: {reason}; {sidecars.describe_remedy(path, missing)}"


def _read(path: str, row: int, id: str | None, stated: Declared, notes: Iterable[str] = ()) -> Recording:
    assert stated.sampling_rate is not None  # `read` has seen to it
    tracing = hdf5_file.read_array(path, "tracings", row)
    if tracing.dtype.kind not in "fiu":
        raise InputError(f"{path}: `tracings` holds {tracing.dtype}; expected numbers")
    tracing = tracing.astype(np.float32)
    active = np.flatnonzero(np.any(tracing != 0, axis=1))
    inside = np.zeros((len(tracing), 1), bool)
    if active.size:
        inside[active[0] : active[-1] + 1] = True
    factor = sidecars.find_factor(path, stated.unit)
    return create_recording(
        tracing,
        leads=stated.leads or LEADS,
        sampling_rate=stated.sampling_rate,
        id=id or f"{os.path.basename(path)}:{row}",
        millivolts_per_unit=factor,
        unit=factor,
        valid=np.broadcast_to(inside, tracing.shape),
        normalized=stated.is_normalized,
        notes=notes,
    )


def find_stated(path: str, name: str, declared: Declared | None) -> tuple[Declared, list[str]]:
    """What a sidecar states of an array of a file, or else the caller, or else attributes; and notes.

    Raises:
        InputError: see `sidecars.resolve`, `sidecars.refuse_misspelled` and `parse_attributes`.
    """
    if declared == CODE and not sidecars.has_sidecar(path):
        return CODE, []
    try:
        attributes = parse_attributes(path, hdf5_file.read_attributes(path, name))
        stated, notes = sidecars.resolve(path, ("", declared), ("the file's attributes", attributes))
    except InputError:
        stated, notes = sidecars.resolve(path, ("", declared))
        if not (stated.sampling_rate and stated.unit):
            raise
    sidecars.refuse_misspelled(path, sidecars.list_missing(stated))
    return stated, notes


def parse_attributes(path: str, attributes: Mapping[str, str]) -> Declared:
    """What attributes of an HDF5 file state of leads, rate and unit; see `hdf5_file.read_attributes`.

    Raises:
        InputError: when a rate is not a number.
    """
    known = {sidecars.squeeze(key): value for key, value in attributes.items()}
    found = {field: next((known[name] for name in names if name in known), "") for field, names in SPELLINGS.items()}
    leads = tuple(name.strip() for name in found["leads"].split(",")) if found["leads"] else ()
    # Some files list rate and unit of every lead: each value counts once.
    rate_text, unit = (",".join(dict.fromkeys(found[key].split(","))) for key in ("sampling_rate", "unit"))
    rate_text = re.sub(r"(?i)\s*hz$", "", rate_text.strip())
    try:
        return Declared(leads, float(rate_text) if rate_text else None, unit)
    except ValueError as error:
        raise InputError(
            f"{path}: attribute for the sampling rate is {found['sampling_rate'][:40]!r}, no Hz"
        ) from error


def _judge(path: str, stated: Declared, shape: tuple[int, ...], version: tuple[int, ...]) -> str:
    """Why a file of unstated rate or unit is not CODE's; empty where it agrees."""
    if stated.sampling_rate not in (None, code_convention.SAMPLING_RATE):
        return f"its {stated.sampling_rate:g} Hz are not CODE's"
    if stated.unit and stated.unit.strip().lower() != "code":
        return f"its unit {stated.unit[:40]} is not CODE's"
    if shape[1] != code_convention.SAMPLES:
        return f"exams of {shape[1]} samples, CODE's have {code_convention.SAMPLES}"
    return _judge_exams(path, shape[0], version)


@functools.lru_cache(maxsize=64)
def _judge_exams(path: str, count: int, version: tuple[int, ...]) -> str:
    del version  # of the file: another one is judged again
    return code_convention.contradict_exams(_read(path, row, None, CODE) for row in code_convention.choose_rows(count))


@functools.lru_cache(maxsize=64)
def _measure(path: str, version: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the tracings; raises `InputError` for another layout."""
    del version
    names = hdf5_file.list_names(path)
    shape = hdf5_file.describe(path, "tracings") if "tracings" in names else f"keys {', '.join(names) or 'none'}"
    if isinstance(shape, str) or len(shape) != 3 or shape[2] != len(LEADS):
        raise InputError(f"{path}: expected `tracings` of shape [N, samples, 12], found {str(shape)[:200]}")
    smallest = max(_SMALLEST_EXAM, 2 * shape[1])  # bytes to which twelve leads are compressed
    if shape[0] > (most := max(_EXAMS, os.path.getsize(path) // smallest)):
        raise InputError(f"{path}: announces {shape[0]} exams; a file of its size holds at most {most}")
    return shape
