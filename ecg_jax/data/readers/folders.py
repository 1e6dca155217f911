"""Finds the recordings of a file, of a folder searched to its depths, or of what a pattern matches.

Links to files are followed. Links to folders are not, as they may lead anywhere or in a circle; one that leads out of
the folder is named.
"""

import dataclasses
import functools
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from ecg_jax.data.readers import arrays, code_hdf5, edan, formats, wfdb
from ecg_jax.data.readers.sidecars import FLAGS, Declared, describe_remedy, drop_stated, has_sidecar, list_sidecars
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

# A file with such a name that is no ECG of a known format is listed, so that reading says why. HDF5 is not among them:
# its content says that it is something else.
_ECG_SUFFIXES = (
    *(".hea", ".dat", ".mat", ".dcm", ".dicom", ".xml", ".scp", ".edf", ".bdf", ".gdf"),
    *(".ecg", ".mwf", ".mfr", ".aecg", ".hl7", ".ishne"),
)
_DESCRIBED = (*arrays.SUFFIXES, ".mat", ".h5", ".hdf5")  # that may have a sidecar
_SHOWN = 8  # kinds of files


@dataclasses.dataclass(frozen=True)
class LazyRecording:
    """One recording that has not been read yet.

    Attributes:
        name: Where it is: a file's path (a WFDB record's without suffix), or a CODE HDF5 file's and the exam's id.
        read: Reads it; raises `InputError`. It can be sent to another process.
        missing: Fields of `Declared` that a NumPy, CSV or MATLAB file in a folder lacks: reading it says so.
        path: The file that is read first; empty where there is none.
    """

    name: str
    read: Callable[[], Recording]
    missing: tuple[str, ...] = ()
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Search:
    """What was found.

    Attributes:
        recordings: Recordings, and whatever looks like one: reading says what is wrong with it.
        passed_over: How many files are no ECG, by suffix.
    """

    recordings: list[LazyRecording]
    passed_over: Counter[str] = dataclasses.field(default_factory=Counter)


@dataclasses.dataclass
class _Content:
    """Files, without those that belong to a header or are a sidecar; and reasons by path of what was not searched."""

    files: list[str] = dataclasses.field(default_factory=list)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)


def find(path: str, declared: Declared | None = None) -> list[LazyRecording]:
    """Lists the recordings of a file, of a folder or of a pattern; see `search`."""
    return search(path, declared).recordings


def search(path: str, declared: Declared | None = None) -> Search:
    """Lists the recordings of a file, of a folder searched to its depths, or of what a pattern (`a/*.dcm`) matches.

    In a folder and behind a pattern, the signal files and segments that a WFDB header names belong to it; an array of
    other than two axes, and a CSV whose first row names no lead, count only with a sidecar or where `declared` states
    what they hold. What looks like an ECG by content or suffix and cannot be read as it is, is damaged or of no known
    format is listed; reading it says why. The rest is counted.

    Raises:
        InputError: when nothing is there, or it is of no known format.
    """
    path = os.fspath(path)
    is_folder = os.path.isdir(path)
    if is_folder or (glob.has_magic(path) and not (os.path.lexists(path) or os.path.isfile(path + ".hea"))):
        found = _list_content(_walk(path) if is_folder else _match(path), declared)
        if not found.recordings:
            passed_over = describe_passed_over(found.passed_over)
            known = "; ".join(filter(None, (*formats.FORMATS, passed_over)))
            raise InputError(
                f"{path}: {'no ECG in this folder' if is_folder else 'matches no ECG'}; known formats: {known}"
            )
        return found
    path = formats.resolve(path)
    recordings = _list_file(path, declared)
    if not recordings:
        raise InputError(formats.describe_unknown(path))
    return Search(recordings)


def drop_sidecars(paths: Sequence[str]) -> list[str]:
    """Paths as a shell makes them of `DIR/*`, without the sidecars of others among them."""
    sidecars = {name for path in paths if path.lower().endswith(_DESCRIBED) for name in list_sidecars(path)}
    return [path for path in paths if path not in sidecars]


def describe_passed_over(kinds: Counter[str]) -> str:
    """One line on files that are no ECG; empty without any."""
    if not kinds:
        return ""
    shown = kinds.most_common(_SHOWN)
    listed = [f"{kind} {count}" for kind, count in shown]
    if rest := kinds.total() - sum(count for _, count in shown):
        listed.append(f"others {rest}")
    line = f"passed over: {kinds.total()} file(s) that are no ECG ({', '.join(listed)})"
    if any(kind in arrays.SUFFIXES for kind in kinds):
        line += (
            "; NumPy and CSV files count with a sidecar .json; predict, embed and explain also take --file_leads, "
            "--file_rate, --file_unit"
        )
    return line


def describe_missing(files: Sequence[LazyRecording]) -> str:
    """One line on files that lack something; see `LazyRecording`."""
    path, fields = files[0].name, [field for field in FLAGS if any(field in each.missing for each in files)]
    others = " and others" if len(files) > 1 else ""
    remedy = describe_remedy(path, fields, arrays.guess_unit(path) if "unit" in fields else "")
    return f"{path}{others}: {', '.join(fields)} unknown; {remedy}"


def list_inputs(recordings: Iterable[LazyRecording], output: str) -> Iterator[str]:
    """Files that are read, or would be, for recordings: their own, and where they have or could have one, sidecars.

    The other files of a WFDB record are among them where the name of `output` is one that they can have, as headers
    are read to find them.
    """
    for path in dict.fromkeys(each.path for each in recordings):
        yield path
        if path.lower().endswith(_DESCRIBED):
            yield from list_sidecars(path)
        elif path.endswith(".hea") and output.endswith((".hea", *wfdb.SIGNAL_SUFFIXES)):
            yield from _list_parts(path)


def _walk(folder: str) -> _Content:
    """Lists what is in a folder and below."""
    found, top = _Content(), os.path.join(os.path.realpath(folder), "")
    owned: set[str] = set()  # a header's parts may be in folders below it

    def refuse(error: OSError) -> None:
        found.refused[str(error.filename)] = f"cannot be searched ({error.strerror}); check its permissions"

    for root, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for path in (os.path.join(root, name) for name in folders):
            if os.path.islink(path) and not os.path.join(os.path.realpath(path), "").startswith(top):
                found.refused[path] = "a link to a folder, which is not followed; name it to predict what it holds"
        paths = [os.path.join(root, name) for name in sorted(names)]
        owned |= _find_owned(paths)
        found.files += [path for path in paths if path not in owned]
    return found


def _match(pattern: str) -> _Content:
    """Lists the files that match, and what is in and below the folders that do."""
    matched = _Content()
    for path in sorted(glob.glob(pattern, recursive=True)):
        content = _walk(path) if os.path.isdir(path) else _Content([path])
        matched.files += content.files
        matched.refused |= content.refused
    owned = _find_owned(matched.files)
    kept: dict[str, None] = {}
    for file in matched.files:  # a WFDB record's signal file means its header
        header = os.path.splitext(file)[0] + ".hea"
        is_signal = file.endswith(wfdb.SIGNAL_SUFFIXES) and os.path.isfile(header)
        kept |= {header if is_signal else file: None} if file not in owned else {}
    return _Content([*kept], matched.refused)


def _list_parts(header: str) -> set[str]:
    """Paths of the files that belong to a header of WFDB or Edan."""
    parts = {edan.SIGNAL} if os.path.basename(header).lower() == edan.HEADER else wfdb.list_parts(header)
    return {os.path.join(os.path.dirname(header), part) for part in parts}


def _find_owned(paths: Iterable[str]) -> set[str]:
    """Signal files and segments of headers, and sidecars."""
    owned: set[str] = set()
    for path in paths:
        if path.endswith(".hea"):
            owned |= _list_parts(path)
        elif path.lower().endswith(_DESCRIBED):
            owned.update(list_sidecars(path))
    return owned


def _list_content(content: _Content, declared: Declared | None) -> Search:
    found = Search([])
    for path in content.files:
        recordings = _list_file(path, declared, in_folder=True)
        if not recordings and path.lower().endswith(_ECG_SUFFIXES):
            recordings = [_refuse(path, formats.describe_unknown(path))]
        found.recordings.extend(recordings)
        if not recordings:
            found.passed_over[os.path.splitext(path)[1].lower() or "no suffix"] += 1
    found.recordings.extend(_refuse(path, f"{path}: {reason}") for path, reason in content.refused.items())
    return found


def _refuse(path: str, reason: str) -> LazyRecording:
    return LazyRecording(path, functools.partial(_raise, reason), path=path)


def _raise(reason: str) -> Recording:
    raise InputError(reason)


def _list_file(path: str, declared: Declared | None, in_folder: bool = False) -> list[LazyRecording]:
    if in_folder and not os.path.isfile(path):
        return [_refuse(path, f"{path}: no regular file")] if path.lower().endswith(_ECG_SUFFIXES) else []
    try:
        reader = formats.detect(path)
        if reader is code_hdf5:
            return _list_exams(path, declared)
    except Exception:  # noqa: BLE001 - whatever a damaged file makes a library raise, reading will report it
        return [LazyRecording(path, functools.partial(formats.read, path, declared=declared), path=path)]
    if reader is None:
        return []
    missing: tuple[str, ...] | None = ()
    if reader is arrays and in_folder and not declared and not has_sidecar(path):
        missing = arrays.find_missing(path)
    if missing is None:
        return []
    missing = drop_stated(path, missing) if missing else ()
    name = path.removesuffix(".hea")
    return [LazyRecording(name, functools.partial(formats.read_one, reader.read, path, name, declared), missing, path)]


def _list_exams(path: str, declared: Declared | None) -> list[LazyRecording]:
    try:
        ids = code_hdf5.read_ids(path)
    except InputError:  # reading will report it
        return [LazyRecording(path, functools.partial(code_hdf5.read, path, 0, declared=declared), path=path)]
    names = [f"{path}:{exam}" for exam in ids]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    names = [f"{name}:{row}" if name in repeated else name for row, name in enumerate(names)]
    read = functools.partial(code_hdf5.read, path, declared=declared)
    return [LazyRecording(name, functools.partial(read, row=row, id=name), path=path) for row, name in enumerate(names)]
