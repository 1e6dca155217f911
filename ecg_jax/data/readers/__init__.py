"""One file format each: a path becomes a `Recording` in millivolts. `find` lists what a path holds."""

import dataclasses
import functools
import os
from collections.abc import Callable

from ecg_jax.data.readers import code_hdf5, wfdb
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

HDF5_SUFFIXES = (".hdf5", ".h5")
WFDB_SUFFIXES = (".hea", ".dat", ".mat")


@dataclasses.dataclass(frozen=True)
class Source:
    """One recording that has not been read yet.

    Attributes:
        name: Where it lies: a record's path, or an HDF5 file's and the exam's id.
        read: Reads it; raises `InputError`.
    """

    name: str
    read: Callable[[], Recording]


def find(path: str) -> list[Source]:
    """Lists the recordings of a path: a WFDB record, a CODE HDF5 file, or a folder of both, searched to its depths.

    Raises:
        InputError: when nothing is there, or it is of no known format.
    """
    if os.path.isdir(path):
        names = sorted(os.path.join(root, name) for root, _, files in os.walk(path) for name in files)
        found = [source for name in names if name.endswith((".hea", *HDF5_SUFFIXES)) for source in _list_file(name)]
        if not found:
            raise InputError(f"{path}: no .hea, .hdf5 or .h5 file in this folder")
        return found
    if os.path.isfile(path) or os.path.isfile(path + ".hea"):
        return _list_file(path)
    raise InputError(f"{path}: no such file or folder")


def _list_file(path: str) -> list[Source]:
    if path.endswith(HDF5_SUFFIXES):
        try:
            ids = code_hdf5.read_ids(path)
        except InputError:  # reading will say so, in its turn
            return [Source(path, functools.partial(code_hdf5.read, path, 0))]
        return [
            Source(f"{path}:{exam}", functools.partial(code_hdf5.read, path, row, id=f"{path}:{exam}"))
            for row, exam in enumerate(ids)
        ]
    stem = os.path.splitext(path)[0] if path.endswith(WFDB_SUFFIXES) else path
    if not os.path.isfile(stem + ".hea"):
        raise InputError(
            f"{path}: unknown format; known: WFDB records (.hea with .dat or .mat), CODE HDF5 (.hdf5, .h5)"
        )
    return [Source(stem, functools.partial(wfdb.read, stem, id=stem))]
