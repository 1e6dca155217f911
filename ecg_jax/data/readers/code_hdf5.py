"""The CODE group's HDF5 layout: `tracings` [N, 4096, 12] at 400 Hz, with or without `exam_id`.

CODE arrays are about 2 x mV: the group's own conversion was run with a scale of 2, and
the median range of lead II is 1.8 times PTB-XL's. They are halved here, so that a
`Recording` is in millivolts; the default input contract doubles them again, exactly.
"""

import os

import numpy as np

from ecg_jax.data.readers import hdf5_file
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 400.0
CODE_UNITS_PER_MILLIVOLT = 2.0
_EXAMS, _SMALLEST_EXAM = 256, 16_384  # any file may hold so many; bytes, less than half of what an exam compresses to


def matches(path: str, head: bytes) -> bool:
    """Tells an HDF5 file with `tracings`, or one too damaged to say what it holds."""
    if not head.startswith(hdf5_file.SIGNATURE):
        return False
    try:
        return "tracings" in hdf5_file.list_names(path)
    except InputError:
        return True


def read_ids(path: str) -> np.ndarray:
    """Returns the exams' ids, `[N]` int64; without `exam_id` in the file, the row numbers.

    Raises:
        InputError: when the file is missing, damaged or of another layout.
    """
    count = _count(path)
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


def read(path: str, row: int, id: str | None = None) -> Recording:
    """Reads one exam; the zeros that pad it on both sides are marked invalid.

    Raises:
        InputError: when the file is missing, truncated or of another layout, or has no such row.
    """
    count = _count(path)
    if not 0 <= row < count:
        raise InputError(f"{path}: row {row} cannot be read (it has {count} rows)")
    tracing = hdf5_file.read_array(path, "tracings", row)
    if tracing.dtype.kind not in "fiu":
        raise InputError(f"{path}: `tracings` holds {tracing.dtype}; expected numbers")
    tracing = tracing.astype(np.float32)
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


def _count(path: str) -> int:
    """Number of exams, after a look at the layout."""
    names = hdf5_file.list_names(path)
    shape = hdf5_file.describe(path, "tracings") if "tracings" in names else f"keys {', '.join(names) or 'none'}"
    if isinstance(shape, str) or len(shape) != 3 or shape[2] != len(LEADS):
        raise InputError(f"{path}: expected `tracings` of shape [N, samples, 12], found {str(shape)[:200]}")
    if shape[0] > (most := max(_EXAMS, os.path.getsize(path) // _SMALLEST_EXAM)):
        raise InputError(f"{path}: announces {shape[0]} exams; a file of its size holds at most {most}")
    return shape[0]
