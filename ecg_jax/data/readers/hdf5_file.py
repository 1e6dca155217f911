"""What the HDF5 layouts share: a file opened with suspicion, and one array of it.

A few bytes of HDF5 can announce any size, and a data set can lie in another file
(external links, external storage, virtual data sets): both are refused.
"""

import os
import threading
import time

import h5py
import numpy as np

from ecg_jax.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py raises on a damaged file.
DAMAGE = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError, NotImplementedError, MemoryError)
LARGEST_READ = 1 << 29  # bytes at once: a day of twelve leads at 125 Hz
_MOST_COMPRESSED = 1032  # deflate's limit, bytes per byte

_MOST_HANDLES = 64
_SETTLED = 10**9  # nanoseconds since a file's last change, far above what its time is rounded to

_lock = threading.Lock()
_handles: dict[tuple[int, ...], tuple[tuple[int, ...], h5py.File]] = {}  # by device and inode, latest used last


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
        file = _open(path)
        try:
            return tuple(map(str, file))  # h5py gives bytes where a name is no text
        except DAMAGE as error:
            raise _damaged(path, error) from error


def _get(path: str, name: str) -> h5py.Dataset:
    file = _open(path)
    try:
        link = file.get(name, getlink=True)
        array = None if link is None or isinstance(link, h5py.ExternalLink) else file[name]
        if not isinstance(array, h5py.Dataset):
            found = ", ".join(map(str, file)) or "none"
            raise InputError(f"{path}: expected an array `{name}`, found keys {found}")
        if array.is_virtual or array.external:
            raise InputError(f"{path}: `{name}` lies in other files; copy it into this one")
        announced = int(np.prod(array.shape, dtype=float)) * array.dtype.itemsize
        size = os.path.getsize(path)
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, error) from error
    if array.dtype.kind not in "fiuS" or not array.shape or 0 in array.shape:
        raise InputError(f"{path}: `{name}` is {array.dtype} of shape {array.shape}; expected numbers")
    if announced > _MOST_COMPRESSED * size:
        raise InputError(f"{path}: `{name}` announces {announced} bytes, more than {size} bytes of file can hold")
    return array


def find_version(path: str) -> tuple[int, ...] | None:
    """Names the version of a file, for what is kept of it; None where it changed a moment ago: nothing may be kept.

    Raises:
        InputError: when there is no such file.
    """
    version = _read_version(path)
    return version if _is_settled(version) else None


def _read_version(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such HDF5 file") from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _is_settled(version: tuple[int, ...]) -> bool:
    return time.time_ns() - max(version[2:4]) > _SETTLED


def _open(path: str) -> h5py.File:
    """Opens a file, or returns the handle that is kept until the file changes or the process forks.

    HDF5 gives one file's second handle the state of its first, so that the first is closed before a changed file is
    opened again. One that changed a moment ago may change again within the resolution of its time: it is not kept.
    """
    version = _read_version(path)
    file = version[:2]
    if file in _handles:
        known, handle = _handles.pop(file)
        if known == version and _is_settled(version):
            _handles[file] = known, handle  # the last that is closed for want of room
            return handle
        handle.close()
    while len(_handles) >= _MOST_HANDLES:
        _handles.pop(next(iter(_handles)))[1].close()
    try:
        handle = h5py.File(path, "r")
    except DAMAGE as error:
        raise _damaged(path, error) from error
    _handles[file] = version, handle
    return handle


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable HDF5 file ({' '.join(str(error).split())})")


def _start_anew() -> None:
    """A child must neither wait for a lock that its parent's thread held, nor share its parent's handles."""
    global _lock
    _lock = threading.Lock()
    _handles.clear()


os.register_at_fork(after_in_child=_start_anew)
