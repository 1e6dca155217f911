"""The CODE group's HDF5 layout: `tracings` [N, 4096, 12] at 400 Hz, with or without `exam_id`.

CODE arrays are about 2 x mV: the group's own conversion was run with a scale of 2, and
the median range of lead II is 1.8 times PTB-XL's. They are halved here, so that a
`Recording` is in millivolts; the default input contract doubles them again, exactly.
"""

import functools
import os
import threading

import h5py
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 400.0
CODE_UNITS_PER_MILLIVOLT = 2.0

_lock = threading.Lock()


_DAMAGE = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError)  # what h5py raises on a damaged file


def read_ids(path: str) -> np.ndarray:
    """Returns the exams' ids, `[N]` int64; without `exam_id` in the file, the row numbers.

    Raises:
        InputError: when the file is missing, damaged or of another layout.
    """
    file = _open(path)
    try:
        with _lock:
            count = len(file["tracings"])
            ids = np.asarray(file["exam_id"]).reshape(-1).astype(np.int64) if "exam_id" in file else np.arange(count)
    except _DAMAGE as error:
        raise InputError(f"{path}: exam_id cannot be read ({' '.join(str(error).split())})") from error
    if len(ids) != count:
        raise InputError(f"{path}: {len(ids)} exam_id against {count} tracings; they must pair up")
    return ids


def read(path: str, row: int, id: str | None = None) -> Recording:
    """Reads one exam; the zeros that pad it on both sides are marked invalid.

    Raises:
        InputError: when the file is missing, truncated or of another layout, or has no such row.
    """
    file = _open(path)
    try:
        with _lock:
            if not 0 <= row < len(file["tracings"]):
                raise IndexError(f"it has {len(file['tracings'])} rows")
            tracing = np.asarray(file["tracings"][row], np.float32)
    except _DAMAGE as error:
        raise InputError(f"{path}: row {row} cannot be read ({' '.join(str(error).split())})") from error
    padding = ~np.any(tracing != 0, axis=1)
    active = np.flatnonzero(~padding)
    inside = np.zeros(len(tracing), bool)
    if active.size:
        inside[active[0] : active[-1] + 1] = True
    return create_recording(
        tracing,
        leads=LEADS,
        sampling_rate=SAMPLING_RATE,
        id=id or f"{os.path.basename(path)}:{row}",
        millivolts_per_unit=1 / CODE_UNITS_PER_MILLIVOLT,
        valid=np.broadcast_to(inside[:, None], tracing.shape),
    )


@functools.lru_cache(maxsize=64)
def _open(path: str) -> h5py.File:
    try:
        file = h5py.File(path, "r")
        tracings = file.get("tracings")
        is_array = isinstance(tracings, h5py.Dataset)
        found = tracings.shape if is_array else f"keys {', '.join(file) or 'none'}"
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"{path}: no such HDF5 file") from error
    except _DAMAGE as error:
        raise InputError(f"{path}: not a readable HDF5 file ({' '.join(str(error).split())})") from error
    if not is_array or len(found) != 3 or found[2] != len(LEADS):
        raise InputError(f"{path}: expected `tracings` of shape [N, samples, 12], found {found}")
    return file
