"""What the HDF5 layouts share: a file opened with suspicion, and one array of it.

A few bytes of HDF5 can announce any size, and a data set can lie in another file (links, external storage, virtual data
sets): both are refused. An array stays open with its file, so that a chunk of many rows is unpacked once.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np

from ecg_jax import budget, files
from ecg_jax.data.readers import reading
from ecg_jax.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNKS = 1 << 26  # bytes of unpacked chunks that are kept, of an array
_LARGEST_READ = 1 << 29  # bytes at once: a day of twelve leads at 125 Hz
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


def has_array(path: str, head: bytes, name: str) -> bool | None:
    """Whether a file is HDF5 with such a name at its top; None where it is too damaged to say."""
    if not head.startswith(SIGNATURE):
        return False
    try:
        return name in list_names(path)
    except InputError:
        return None


def read_array(path: str, name: str, part: int | slice = slice(None)) -> np.ndarray:
    """Reads a part of an array, after comparing what it announces with the file's size.

    Raises:
        InputError: when the file or the array is missing, damaged, or not numbers.
    """
    with _use(path) as opened:
        array = _get(path, name, opened)
        shape = array.shape if isinstance(part, slice) else array.shape[1:]
        announced = int(np.prod(shape, dtype=float)) * array.dtype.itemsize
        if announced > _LARGEST_READ:
            raise InputError(f"{path}: {name} announces {announced} bytes at once; the limit is {_LARGEST_READ}")
        try:
            return np.asarray(array[part])
        except Exception as error:
            what = f"row {part}" if isinstance(part, int) else name
            raise InputError(f"{path}: {what} cannot be read ({' '.join(str(error).split())})") from error


def describe(path: str, name: str) -> tuple[int, ...]:
    """Returns an array's shape; raises `InputError`, see `read_array`."""
    with _use(path) as opened:
        return _get(path, name, opened).shape


def read_attributes(path: str, name: str) -> dict[str, str]:
    """Reads the attributes of an array, and of the file where the array has none of that name, as text.

    Returns:
        Lower-case name -> text; the elements of a list are separated by commas.

    Raises:
        InputError: see `read_array`.
    """
    with _use(path) as opened:
        array = _get(path, name, opened)
        found = {key.lower(): value for owner in (array.file, array) for key, value in owner.attrs.items()}
        return {
            key: ",".join(
                each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in np.ravel(value)
            )
            for key, value in found.items()
        }


def list_names(path: str) -> tuple[str, ...]:
    """Names at the top of a file; raises `InputError` when it is missing or damaged."""
    with _use(path) as opened:
        return tuple(map(str, opened.file))  # h5py gives bytes where a name is not text


def find_version(path: str) -> tuple[int, ...]:
    """Names the version of a file, for caches of its content; of one that has just changed, another at every call."""
    version = _read_version(path)
    return version if _is_settled(version) else (*version, time.time_ns())


def _get(path: str, name: str, opened: _Opened) -> h5py.Dataset:
    if name not in opened.arrays:
        opened.arrays[name] = _find(path, name, opened.file)
    return opened.arrays[name]


def _find(path: str, name: str, file: h5py.File) -> h5py.Dataset:
    """Finds an array; refuses one of another file, without numbers, or that announces more than its file can hold."""
    link = file.get(name, getlink=True)
    if isinstance(link, h5py.SoftLink | h5py.ExternalLink):
        raise InputError(f"{path}: expected an array `{name}`, found a link, which may lead to another file; copy it")
    array = None if link is None else file[name]
    if not isinstance(array, h5py.Dataset):
        found = ", ".join(map(str, file))[:_LONGEST_NAMES] or "none"
        raise InputError(f"{path}: expected an array `{name}`, found keys {found}")
    if array.is_virtual or array.external:
        raise InputError(f"{path}: `{name}` is stored in other files; copy it into this one")
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
    return array


def _read_version(path: str) -> tuple[int, ...]:
    """What changes with a file; of a regular file alone."""
    try:
        files.measure(path)
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such HDF5 file ({error.strerror})") from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _is_settled(version: tuple[int, ...]) -> bool:
    """Whether a file has not just changed; one that has may change again within the resolution of its time."""
    return time.time_ns() - max(version[2:4]) > _SETTLED


@contextlib.contextmanager
def _use(path: str) -> Iterator[_Opened]:
    """Opens a file, or takes the handle that is kept until the file changes or the process forks.

    HDF5 gives one file's second handle the state of its first, so that the first is closed before a changed file is
    opened again.
    """
    with _lock, reading.refuse_damage(path, "HDF5 file"):
        version = _read_version(path)
        key = version[:2]
        known = _opened.pop(key, None)
        if known and (known.version != version or not _is_settled(version)):
            known.file.close()
            known = None
        while len(_opened) >= _MOST_HANDLES:
            _opened.pop(next(iter(_opened))).file.close()
        _opened[key] = known or _Opened(version, h5py.File(path, "r", rdcc_nbytes=_CHUNKS), {})  # last to be closed
        yield _opened[key]


def _reset_after_fork() -> None:
    """A child must neither wait for a lock that its parent's thread held, nor share its parent's handles."""
    global _lock
    _lock = threading.Lock()
    _opened.clear()


os.register_at_fork(after_in_child=_reset_after_fork)
