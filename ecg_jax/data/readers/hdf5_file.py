"""What the HDF5 layouts share: a file opened with suspicion, and one array of it.

A few bytes of HDF5 can announce any size, and a data set can lie in another file (links, external storage, virtual
data sets): both are refused. An array stays open with its file, so that a chunk of many rows is unpacked once.
"""

import functools
import os
import threading

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

_lock = threading.Lock()


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


def list_names(path: str) -> tuple[str, ...]:
    """Names at the top of a file; raises `InputError` when it is missing or damaged."""
    with _lock:
        file = _open(path)
        try:
            return tuple(map(str, file))  # h5py gives bytes where a name is no text
        except DAMAGE as error:
            raise _damaged(path, error) from error


def _get(path: str, name: str) -> h5py.Dataset:
    version = _find_version(path)
    try:
        return _get_version(path, name, *version)
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, error) from error


@functools.lru_cache(maxsize=64)
def _get_version(path: str, name: str, *version: int) -> h5py.Dataset:
    file = _open_version(path, *version)
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


def _open(path: str) -> h5py.File:
    """The handle is kept, until the file changes or the process forks."""
    return _open_version(path, *_find_version(path))


def _find_version(path: str) -> tuple[int, int, int]:
    """What changes with a file; of a regular file alone."""
    try:
        files.measure(path)
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such HDF5 file ({error.strerror})") from error
    return status.st_mtime_ns, status.st_size, status.st_ino


@functools.lru_cache(maxsize=64)
def _open_version(path: str, *version: int) -> h5py.File:
    del version
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CHUNKS)
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable HDF5 file ({' '.join(str(error).split())})")


def _start_anew() -> None:
    """A child must neither wait for a lock that its parent's thread held, nor share its parent's handles."""
    global _lock
    _lock = threading.Lock()
    _get_version.cache_clear()
    _open_version.cache_clear()


os.register_at_fork(after_in_child=_start_anew)
