"""One file format each: a path becomes a `Recording` in millivolts. `find` lists what a path holds.

A format is known by a file's content: each module's `matches(path, head)` is asked in turn.
A suffix counts only where the content says nothing, so that a damaged file is named
instead of passed over.
"""

import dataclasses
import functools
import glob
import os
from collections import Counter
from collections.abc import Callable
from types import ModuleType

from ecg_jax import files
from ecg_jax.data.readers import (
    aecg,
    arrays,
    cardiosoft,
    code_hdf5,
    cpsc_mat,
    dicom,
    edan,
    edf,
    folders,
    hdf5_file,
    ishne,
    mfer,
    mortara,
    muse,
    philips,
    schiller,
    scp,
    sph_hdf5,
    wfdb,
    xml_document,
)
from ecg_jax.data.readers.arrays import Declared
from ecg_jax.data.readers.folders import describe_passed_over
from ecg_jax.errors import InputError
from ecg_jax.recording import UNITS, Recording

__all__ = ["FORMATS", "UNITS", "Declared", "Search", "Source", "describe_passed_over", "find", "read", "search"]

FORMATS: dict[str, ModuleType] = {
    "WFDB (.hea with .dat or .mat)": wfdb,
    "CODE HDF5 (tracings)": code_hdf5,
    "SPH HDF5 (ecg)": sph_hdf5,
    "CPSC2018 MATLAB (struct ECG)": cpsc_mat,
    "DICOM": dicom,
    "HL7 aECG": aecg,
    "Philips Sierra XML": philips,
    "GE MUSE XML": muse,
    "GE CardioSoft XML": cardiosoft,
    "Schiller XML": schiller,
    "SCP-ECG": scp,
    "EDF and BDF": edf,
    "ISHNE": ishne,
    "MFER": mfer,
    "Mortara XML": mortara,
    "Edan (patient.hea with ecgraw.dat, or .arc)": edan,
    "NumPy, CSV or MATLAB (val) with a sidecar .json or declared leads, rate and unit": arrays,
}
HEAD_BYTES = 4096
_SUFFIXES: dict[str, ModuleType] = {
    ".hea": wfdb,
    ".hdf5": code_hdf5,
    ".h5": code_hdf5,
    ".dcm": dicom,
    ".scp": scp,
    ".edf": edf,
    ".bdf": edf,
    ".mwf": mfer,
    ".mfer": mfer,
    ".npy": arrays,
}


@dataclasses.dataclass(frozen=True)
class Source:
    """One recording that has not been read yet.

    Attributes:
        name: Where it lies: a file's path (a WFDB record's without suffix), or a CODE HDF5
            file's and the exam's id.
        read: Reads it; raises `InputError`. It can be sent to another process.
    """

    name: str
    read: Callable[[], Recording]


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads a file of any known format that holds one recording.

    Args:
        path: A file, or a WFDB record's name.
        id: Name for messages and results; each format has its own if None.
        declared: What a NumPy, CSV, MATLAB or CODE HDF5 file without a sidecar holds.

    Raises:
        InputError: when it is not there, of no known format, damaged, or holds several recordings.
    """
    path = _resolve(path)
    reader = _detect(path, declared)
    if reader is None:
        raise _unknown(path)
    if reader is arrays:
        return arrays.read(path, id, declared)
    if reader is code_hdf5:
        count = len(code_hdf5.read_ids(path))
        if count != 1:
            raise InputError(f"{path}: holds {count} recordings, not one; list them with `readers.find`")
        return code_hdf5.read(path, 0, id, declared)
    return reader.read(path, id)


@dataclasses.dataclass(frozen=True)
class Search:
    """What was found.

    Attributes:
        sources: Recordings, and whatever looks like one: reading says what is wrong with it.
        passed_over: How many files are no ECG, by suffix.
    """

    sources: list[Source]
    passed_over: Counter[str] = dataclasses.field(default_factory=Counter)


def find(path: str, declared: Declared | None = None) -> list[Source]:
    """Lists the recordings of a file, of a folder or of a pattern; see `search`."""
    return search(path, declared).sources


def search(path: str, declared: Declared | None = None) -> Search:
    """Lists the recordings of a file, of a folder searched to its depths, or of what a pattern (`a/*.dcm`) matches.

    In a folder and behind a pattern, the signal files and segments that a WFDB header names belong to it; a NumPy, CSV
    or MATLAB file counts only with a sidecar or where `declared` says what it holds. What looks like an ECG by content
    or suffix and is damaged or of no known format is listed; reading it says why not. The rest is counted.

    Args:
        path: A file, a WFDB record's name, a folder, or a pattern.
        declared: What NumPy, CSV, MATLAB and CODE HDF5 files without a sidecar hold.

    Raises:
        InputError: when nothing is there, or it is of no known format.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        found = _list_content(folders.search(path), declared)
        if not found.sources:
            raise _nothing(path, "no ECG in this folder", found)
        return found
    if glob.has_magic(path) and not (os.path.lexists(path) or os.path.isfile(path + ".hea")):
        return _match(path, declared)
    path = _resolve(path)
    sources = _list_file(path, declared)
    if not sources:
        raise _unknown(path)
    return Search(sources)


def _nothing(path: str, what: str, found: Search) -> InputError:
    passed_over = describe_passed_over(found.passed_over)
    return InputError(f"{path}: {what}; known formats: {'; '.join(FORMATS)}{'; ' if passed_over else ''}{passed_over}")


def _match(pattern: str, declared: Declared | None) -> Search:
    """As of a folder: of what matches, files, and all that is below folders."""
    matched = folders.Content()
    for path in sorted(glob.glob(pattern, recursive=True)):
        content = folders.search(path) if os.path.isdir(path) else folders.Content([path])
        matched.files += content.files
        matched.refused |= content.refused
    owned = {part for file in matched.files if file.endswith(".hea") for part in folders.list_parts(file)}
    headers = [_find_header(file) for file in matched.files if file not in owned]
    found = _list_content(folders.Content([*dict.fromkeys(headers)], matched.refused), declared)
    if not found.sources:
        raise _nothing(pattern, "matches no ECG", found)
    return found


def _list_content(content: folders.Content, declared: Declared | None) -> Search:
    found = Search([])
    for path in content.files:
        sources = _list_file(path, declared, in_folder=True)
        if not sources and folders.is_like_ecg(path):
            sources = [_refuse(path, str(_unknown(path)))]
        found.sources.extend(sources)
        if not sources:
            found.passed_over[folders.describe_kind(path)] += 1
    found.sources.extend(_refuse(path, f"{path}: {reason}") for path, reason in content.refused.items())
    return found


def _refuse(path: str, reason: str) -> Source:
    return Source(path, functools.partial(_raise, reason))


def _raise(reason: str) -> Recording:
    raise InputError(reason)


def _find_header(path: str) -> str:
    """A WFDB record's header where a path is its signal file; else the path."""
    header = os.path.splitext(path)[0] + ".hea"
    return header if path.endswith(wfdb.SIGNAL_SUFFIXES) and os.path.isfile(header) else path


def _resolve(path: str) -> str:
    """A record's name, or its signal file, becomes the path of its header."""
    path = os.fspath(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: a folder; list its recordings with `readers.find`")
    for header in (path + ".hea", os.path.splitext(path)[0] + ".hea"):
        if os.path.isfile(header) and (not os.path.isfile(path) or path.endswith(wfdb.SIGNAL_SUFFIXES)):
            return header
    if not os.path.isfile(path):
        raise InputError(f"{path}: {folders.NO_FILE if os.path.exists(path) else 'no such file or folder'}")
    return path


def _unknown(path: str) -> InputError:
    return InputError(f"{path}: unknown format; known: {'; '.join(FORMATS)}")


def _detect(path: str, declared: Declared | None, in_folder: bool = False) -> ModuleType | None:
    try:
        files.measure(path)
        with open(path, "rb") as file:
            head = xml_document.read_prologue(file, file.read(HEAD_BYTES))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    reader = next((module for module in FORMATS.values() if module.matches(path, head)), None)
    if reader is None and not head.startswith(hdf5_file.SIGNATURE):  # a whole file of another layout is not damaged
        reader = _SUFFIXES.get(os.path.splitext(path)[1].lower())
    if reader is arrays and in_folder and not declared and not arrays.has_sidecar(path):
        return None
    return reader


def _list_file(path: str, declared: Declared | None, in_folder: bool = False) -> list[Source]:
    if in_folder and not os.path.isfile(path):
        return [_refuse(path, f"{path}: {folders.NO_FILE}")] if folders.is_like_ecg(path) else []
    try:
        reader = _detect(path, declared, in_folder)
        if reader is code_hdf5:
            return _list_exams(path, declared)
    except Exception:  # noqa: BLE001 - whatever a damaged file makes a library raise, reading will say so, in its turn
        return [Source(path, functools.partial(read, path))]
    if reader is None:
        return []
    if reader is arrays:
        return [Source(path, functools.partial(arrays.read, path, path, declared))]
    name = path.removesuffix(".hea")
    return [Source(name, functools.partial(reader.read, path, name))]


def _list_exams(path: str, declared: Declared | None) -> list[Source]:
    try:
        ids = code_hdf5.read_ids(path)
    except InputError:  # reading will say so, in its turn
        return [Source(path, functools.partial(code_hdf5.read, path, 0, declared=declared))]
    names = [f"{path}:{exam}" for exam in ids]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    names = [f"{name}:{row}" if name in repeated else name for row, name in enumerate(names)]
    read = functools.partial(code_hdf5.read, path, declared=declared)
    return [Source(name, functools.partial(read, row=row, id=name)) for row, name in enumerate(names)]
