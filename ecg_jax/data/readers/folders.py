"""What lies in a folder: its files, to its depths, and what cannot be searched.

Links to files are followed. Links to folders are not, as they may lead anywhere or in a circle; one that leads out of
the folder is named.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable

from ecg_jax.data.readers import arrays, edan, wfdb

NO_FILE = "no regular file"
# What such a file is, if it is no ECG of a known format, is worth a word. HDF5 tells itself that it is something else.
ECG_SUFFIXES = (
    *(".hea", ".dat", ".mat", ".dcm", ".dicom", ".xml", ".scp", ".edf", ".bdf", ".gdf"),
    *(".ecg", ".mwf", ".mfr", ".aecg", ".hl7", ".ishne"),
)
_SHOWN = 8  # kinds of files


@dataclasses.dataclass
class Content:
    """What was found.

    Attributes:
        files: Paths, in order, but of those that belong to a header or are a sidecar.
        refused: Path to reason, of what could not be searched.
    """

    files: list[str] = dataclasses.field(default_factory=list)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)


def search(folder: str) -> Content:
    """Lists what is in a folder and below."""
    found, top = Content(), os.path.join(os.path.realpath(folder), "")
    owned: set[str] = set()  # a header's parts may lie in folders below it

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


def list_parts(header: str) -> set[str]:
    """Paths of the files that belong to a header of WFDB or Edan."""
    parts = {edan.SIGNAL} if os.path.basename(header).lower() == edan.HEADER else wfdb.list_parts(header)
    return {os.path.join(os.path.dirname(header), part) for part in parts}


def _find_owned(paths: Iterable[str]) -> set[str]:
    """Signal files and segments of headers, and sidecars."""
    owned: set[str] = set()
    for path in paths:
        if path.endswith(".hea"):
            owned |= list_parts(path)
        elif path.lower().endswith(arrays.SUFFIXES):
            owned.add(arrays.sidecar_path(path))
    return owned


def is_like_ecg(path: str) -> bool:
    """Whether a file's name promises an ECG."""
    return path.lower().endswith(ECG_SUFFIXES)


def describe_kind(path: str) -> str:
    """A file's suffix."""
    return os.path.splitext(path)[1].lower() or "no suffix"


def describe_passed_over(kinds: Counter[str]) -> str:
    """One line on files that are no ECG; empty without any."""
    if not kinds:
        return ""
    told = [f"{kind} {count}" for kind, count in kinds.most_common(_SHOWN)]
    rest = sum(kinds.values()) - sum(count for _, count in kinds.most_common(_SHOWN))
    line = f"passed over: {sum(kinds.values())} file(s) that are no ECG ({', '.join(told)}"
    line += f", others {rest})" if rest else ")"
    if any(kind in arrays.SUFFIXES for kind in kinds):
        line += "; NumPy and CSV files count with a sidecar .json or --file_leads, --file_rate, --file_unit"
    return line
