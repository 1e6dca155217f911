"""What the HDF5 layouts share: a file opened with suspicion, and one array of it.

A few bytes of HDF5 can announce any size, and a data set can lie in another file (links, external storage, virtual
data sets): both are refused. An array stays open with its file, so that a chunk of many rows is unpacked once.
"""

import os
import threading
import time
from typing import NamedTuple

import h5py
import numpy as np

from ecg_jax import budget, files
from ecg_jax.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py raises on a damaged file.
DAMAGE = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError, NotImplementedError, MemoryError)
_CHUNKS = 1 << 26  # bytes of unpacked chunks that are kept, of an array
LARGEST_READ = 1 << 29  # bytes at once: a day of twelve leads at 125 Hz
_TIMES_COMPRESSED = 8  # exams in CODE's layout are padded with zeros to a third
_LONGEST_NAMES = 200  # characters of the names in a message

_MOST_HANDLES = 64
_SETTLED = 10**9  # nanoseconds since a file's last change, far above what its time is rounded to


class _Opened(NamedTuple):
    """A file that is kept open, and its arrays as far as they were asked for."""

    version: tuple[int, ...]
    file: h5py.File
    arrays: dict[str, h5py.Dataset]


_lock = threading.Lock()
_opened: dict[tuple[int, ...], _Opened] = {}  # by device and inode, latest used last


def read_array(path: str, name: str, part: int | slice = slice(None)) -> np.ndarray:
    """Reads a part of an array, after comparing what it announces with the file's size.

    Raises:
        InputError: when the file or the array is missing, damaged, or not numbers.
    """
    try:
        with _lock:
            array = _get(path, name)
            shape = array.shape if isinstance(part, slice) else array.shape[1:]
            announced = int(np.prod(shape, dtype=float)) * array.dtype.itemsize
            if announced > LARGEST_READ:
                raise InputError(f"{path}: {name} announces {announced} bytes at once; the limit is {LARGEST_READ}")
            return np.asarray(array[part])
    except InputError:
        raise
    except DAMAGE as error:
        what = f"row {part}" if isinstance(part, int) else name
        raise InputError(f"{path}: {what} cannot be read ({' '.join(str(error).split())})") from error


def describe(path: str, name: str) -> tuple[int, ...]:
    """Returns an array's shape.

    Raises:
        InputError: see `read_array`.
    """
    with _lock:
        return _get(path, name).shape


def read_attributes(path: str, name: str) -> dict[str, str]:
    """Reads the attributes of an array, and of the file where the array has none of that name, as text.

    Returns:
        Lower-case name -> text; the elements of a list are separated by commas.

    Raises:
        InputError: see `read_array`.
    """
    with _lock:
        array = _get(path, name)
        try:
            found = {key.lower(): value for owner in (array.file, array) for key, value in owner.attrs.items()}
            return {key: ",".join(_decode(each) for each in np.ravel(value)) for key, value in found.items()}
        except DAMAGE as error:
            raise _damaged(path, error) from error


def _decode(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def list_names(path: str) -> tuple[str, ...]:
    """Names at the top of a file; raises `InputError` when it is missing or damaged."""
    with _lock:
        file = _open(path).file
        try:
            return tuple(map(str, file))  # h5py gives bytes where a name is no text
        except DAMAGE as error:
            raise _damaged(path, error) from error


def _get(path: str, name: str) -> h5py.Dataset:
    opened = _open(path)
    try:
        if name not in opened.arrays:
            opened.arrays[name] = _find(path, name, opened.file)
        return opened.arrays[name]
    except InputError:
        raise
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _find(path: str, name: str, file: h5py.File) -> h5py.Dataset:
    link = file.get(name, getlink=True)
    if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        raise InputError(f"{path}: expected an array `{name}`, found a link, which may lead to another file; copy it")
    array = None if link is None else file[name]
    if not isinstance(array, h5py.Dataset):
        found = ", ".join(map(str, file))[:_LONGEST_NAMES] or "none"
        raise InputError(f"{path}: expected an array `{name}`, found keys {found}")
    if array.is_virtual or array.external:
        raise InputError(f"{path}: `{name}` lies in other files; copy it into this one")
    _check(path, name, array)
    return array


def _check(path: str, name: str, array: h5py.Dataset) -> None:
    """Refuses what holds no numbers, or announces more than its file can hold."""
    if array.dtype.kind not in "fiuS" or not array.shape or 0 in array.shape:
        raise InputError(f"{path}: `{name}` is {array.dtype} of shape {array.shape}; expected numbers")
    size = os.path.getsize(path)
    largest = budget.limit_unpacked(size, _TIMES_COMPRESSED)
    for what, shape in (("", array.shape), ("a part of ", array.chunks or ())):
        announced = int(np.prod(shape, dtype=float)) * array.dtype.itemsize
        if announced > largest:
            raise InputError(
                f"{path}: {what}`{name}` announces {announced} bytes, more than {size} bytes of file can hold"
            )


def find_version(path: str) -> tuple[int, ...] | None:
    """Names the version of a file, for what is kept of it; None where it changed a moment ago: nothing may be kept.

    Raises:
        InputError: when there is no such file.
    """
    version = _read_version(path)
    return version if _is_settled(version) else None


def _read_version(path: str) -> tuple[int, ...]:
    """What changes with a file; of a regular file alone."""
    try:
        files.measure(path)
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such HDF5 file ({error.strerror})") from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _is_settled(version: tuple[int, ...]) -> bool:
    return time.time_ns() - max(version[2:4]) > _SETTLED


def _open(path: str) -> _Opened:
    """Opens a file, or returns the handle that is kept until the file changes or the process forks.

    HDF5 gives one file's second handle the state of its first, so that the first is closed before a changed file is
    opened again. One that changed a moment ago may change again within the resolution of its time: it is not kept.
    """
    version = _read_version(path)
    key = version[:2]
    if key in _opened:
        known = _opened.pop(key)
        if known.version == version and _is_settled(version):
            _opened[key] = known  # the last that is closed for want of room
            return known
        known.file.close()
    while len(_opened) >= _MOST_HANDLES:
        _opened.pop(next(iter(_opened))).file.close()
    try:
        _opened[key] = _Opened(version, h5py.File(path, "r", rdcc_nbytes=_CHUNKS), {})
    except DAMAGE as error:
        raise _damaged(path, error) from error
    return _opened[key]


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable HDF5 file ({' '.join(str(error).split())})")


def _start_anew() -> None:
    """A child must neither wait for a lock that its parent's thread held, nor share its parent's handles."""
    global _lock
    _lock = threading.Lock()
    _opened.clear()


os.register_at_fork(after_in_child=_start_anew)
