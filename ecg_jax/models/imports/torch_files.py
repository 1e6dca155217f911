"""Files of weights that PyTorch and safetensors write, read without PyTorch and without running what is in them.

PyTorch's are a pickle with the numbers beside it: in a ZIP archive, uncompressed (since 1.6), or one after the other
(before; https://docs.pytorch.org/docs/stable/notes/serialization.html). Each file is read once, and tensors are
read-only views of what was read.
"""

import functools
import os
import struct
import types
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from ecg_jax import budget, files
from ecg_jax.errors import InputError
from ecg_jax.models.imports import state_dicts
from ecg_jax.models.imports.torch_pickle import unpickle
from ecg_jax.models.imports.torch_tensors import BFLOAT16, CALLS, load_persistent
from ecg_jax.printable import make_printable

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LONGEST_LINE = 1 << 12  # bytes; of the name of a class
_DAMAGE = (EOFError, LookupError, MemoryError, NotImplementedError, RuntimeError, ValueError)
_BROKEN_ARCHIVE = (zipfile.BadZipFile, struct.error)


def load_weights(path: str) -> dict[str, np.ndarray]:
    """Reads the weights of a network.

    Returns:
        Read-only arrays by PyTorch's dotted names, in stored order; bfloat16 as float32, other types as stored.

    Raises:
        InputError: when `read` or `state_dicts.find_weights` does, or when they are far larger than the file.
    """
    return pick_weights(read(path), path)


def pick_weights(saved: Any, path: str) -> dict[str, np.ndarray]:
    """The weights in what `read` returned of a file; see `load_weights`."""
    weights = state_dicts.find_weights(saved, path)
    most = budget.limit_unpacked(os.path.getsize(path))
    if (announced := sum(array.nbytes for array in weights.values())) > most:
        raise InputError(f"{path}: its weights announce {announced >> 20} MiB; at most {most >> 20} are read")
    return {name: array.astype("f4") if array.dtype == BFLOAT16 else array for name, array in weights.items()}


def read(path: str) -> Any:
    """Reads all that a file holds.

    Returns:
        The object that was saved: tensors as arrays (bfloat16 as `ml_dtypes.bfloat16`), containers, text and numbers as
        such, objects of other classes as `torch_pickle.Record`. Of a safetensors file, a dict of arrays.

    Raises:
        InputError: when it is missing, damaged, of another kind, or calls functions that weights do not need.
    """
    try:
        size = files.measure(path)
        with open(path, "rb") as file:
            read_kind = _choose_kind(file.read(512))
            file.seek(0)
            return read_kind(file, size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: no readable file of weights ({error.strerror})") from error
    except (*_DAMAGE, *_BROKEN_ARCHIVE) as error:
        reason = make_printable(" ".join(str(error).split()))[:200]
        raise InputError(f"{path}: a damaged file of weights ({reason})") from error


def _choose_kind(head: bytes) -> Callable[[BinaryIO, int], Any]:
    if head.startswith(b"PK\3\4"):
        return _read_archive
    if head.startswith(b"\x80") and _MAGIC.to_bytes(10, "little") in head[:32]:
        return _read_legacy
    if head[8:9] == b"{":
        return _read_safetensors
    if head[257:262] == b"ustar":
        raise InputError("a tar archive, as PyTorch wrote before 0.2; load it with PyTorch and save it again")
    raise InputError(f"neither a PyTorch nor a safetensors file; it begins with {head[:24]!r}")


def _read_safetensors(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file.name, framework="np") as tensors:
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - it is no mapping
    except AttributeError as error:
        raise InputError(f"it has tensors of a type that is not read ({error})") from error
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _read_archive(file: BinaryIO, size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        root, members = _check_members(archive, size), {*archive.namelist()}

        @functools.cache
        def read_storage(key: str) -> memoryview:
            return memoryview(archive.read(f"{root}/data/{key}"))

        def load_bytes(key: str, count: int, itemsize: int) -> memoryview:
            if f"{root}/data/{key}" not in members or len(data := read_storage(key)) < count * itemsize:
                raise InputError("it is damaged: numbers of a tensor are missing")
            return data[: count * itemsize]

        if f"{root}/byteorder" in members:
            _check_order(archive.read(f"{root}/byteorder").strip() == b"little")
        pickled = archive.read(f"{root}/data.pkl")
        return unpickle(pickled, CALLS, functools.partial(load_persistent, load_bytes=load_bytes))


def _check_members(archive: zipfile.ZipFile, size: int) -> str:
    """Returns the folder of all members; they are stored as they are and together no larger than the file."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if any(name.partition("/")[2].startswith(("constants.pkl", "code/")) for name in names):
        raise InputError(
            "a TorchScript program; save its weights with PyTorch: torch.save(torch.jit.load(FILE).state_dict(), FILE)"
        )
    roots = [name.removesuffix("/data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(roots) != 1 or len(names) != len({*names}):
        raise InputError("a ZIP archive, but not of PyTorch: one file in it must be FOLDER/data.pkl, and names differ")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise InputError("a compressed or encrypted archive, which PyTorch does not write; store its files unpacked")
    if sum(member.file_size for member in members) > size:
        raise InputError("it is damaged: the files in it announce more bytes than it has")
    for member in members:
        if not member.CRC:  # where PyTorch was told to leave it out
            del member.CRC
    return roots[0]


def _check_order(is_little: bool) -> None:
    if not is_little:
        raise InputError("its numbers are big-endian; load it with PyTorch on another computer and save it again")


def _read_legacy(file: BinaryIO, size: int) -> Any:
    source = types.SimpleNamespace(
        read=lambda count: file.read(min(count, size)), readline=lambda: file.readline(_LONGEST_LINE)
    )
    read_plain = functools.partial(unpickle, source, {}, _refuse_storage)
    magic, protocol, system = read_plain(), read_plain(), read_plain()
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise InputError(f"it is damaged, or of another protocol than {_PROTOCOL}")
    _check_order(system.get("little_endian") is True)
    storages = _Storages(size)
    saved = unpickle(source, CALLS, functools.partial(load_persistent, load_bytes=storages.load_bytes))
    storages.fill(file, read_plain())
    return saved


def _refuse_storage(id: Any) -> None:
    raise InputError("its pickle is damaged (a storage where none belongs)")


class _Storages:
    """The numbers of an old file, which follow the pickle that has views of them."""

    def __init__(self, size: int) -> None:
        """Takes the size of the file in bytes."""
        self._left = size
        self._counts: dict[str, tuple[int, int]] = {}
        self._buffers: dict[str, np.ndarray] = {}

    def load_bytes(self, key: str, count: int, itemsize: int) -> memoryview:
        if key not in self._counts:
            self._left -= count * itemsize
            if self._left < 0:
                raise InputError("it is damaged: its storages announce more bytes than it has")
            self._counts[key], self._buffers[key] = (count, itemsize), np.empty(count * itemsize, np.uint8)
        if self._counts[key] != (count, itemsize):
            raise InputError("it is damaged: a storage has two sizes")
        return self._buffers[key].data.toreadonly()

    def fill(self, file: BinaryIO, keys: Any) -> None:
        """Reads them in the order of their keys; each has its count of numbers before it."""
        if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            raise InputError("it is damaged: it does not list its storages")
        if len(keys) != len(self._buffers) or {*keys} != self._buffers.keys():
            raise InputError("it is damaged: numbers of a tensor are missing")
        for key in keys:
            stated, buffer = int.from_bytes(file.read(8), "little"), self._buffers[key]
            if stated != self._counts[key][0] or file.readinto(buffer) != len(buffer):  # type: ignore[attr-defined]
                raise InputError("it is damaged: a storage is cut off")
