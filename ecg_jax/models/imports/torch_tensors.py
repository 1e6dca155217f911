"""What PyTorch's pickles are made of: storages, tensors that are views of them, and the few functions they call."""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.imports.torch_pickle import Calls, Name, Record, check_items, make_dict, make_set

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
_DTYPES = {name: np.dtype(name) for name in {*_STORAGES.values()} - {"bfloat16"} | {"uint16", "uint32", "uint64"}}
_DTYPES["bfloat16"] = BFLOAT16
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
_NUMBER = re.compile("[biuf][1248]")

LoadBytes = Callable[[str, int, int], memoryview]


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """Numbers in a row, little-endian, that tensors are views of."""

    dtype: np.dtype
    data: memoryview


def load_persistent(id: Any, load_bytes: LoadBytes) -> Storage | Name:
    """Makes what a persistent id names: a storage, or in old files the class of a module.

    Args:
        id: `("storage", class, key, device, count)`, in old files with a part of it, `(key, offset, count)`; or
            `("module", class, file, source)`.
        load_bytes: Given a storage's key, how many numbers it has and the bytes of each, returns its bytes.

    Raises:
        InputError: for anything else.
    """
    match id:
        case ("module", Name() as name, _, _):
            return name
        case ("storage", Name() as kind, str() as key, _, int() as count, *view) if count >= 0:
            dtype = _find_dtype(kind)
            return Storage(dtype, _cut(load_bytes(key, count, dtype.itemsize), dtype.itemsize, *view))
    raise InputError("its pickle is damaged (a persistent id that names no storage)")


def _cut(data: memoryview, itemsize: int, view: tuple[str, int, int] | None = None) -> memoryview:
    if view is None:
        return data
    _, offset, count = view
    return data[offset * itemsize :][: count * itemsize]


def _find_dtype(kind: Name) -> np.dtype:
    if kind.module not in _STORAGE_MODULES or kind.name not in _STORAGES:
        raise InputError(f"it has a {kind}; storages that are read: {', '.join(_STORAGES)}")
    return _DTYPES[_STORAGES[kind.name]]


def _rebuild(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any, dtype: Any = None) -> np.ndarray:
    """The tensor as a read-only view; offset and strides are counted in numbers."""
    try:
        dtype = storage.dtype if dtype is None else dtype
        steps = tuple(stride * dtype.itemsize for stride in check_items(strides))
        return np.ndarray(check_items(shape), dtype, storage.data, offset * dtype.itemsize, steps)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        reason = "a tensor whose shape, strides or offset its storage does not have"
        raise InputError(f"its pickle is damaged ({reason})") from error


def _rebuild_typed(
    storage: Storage, offset: int, shape: tuple, strides: tuple, grad: Any, hooks: Any, dtype: Name, *_: Any
) -> np.ndarray:
    if dtype.module != "torch" or dtype.name not in _DTYPES:
        raise InputError(f"it has tensors of {dtype}; types that are read: {', '.join(sorted(_DTYPES))}")
    return _rebuild(storage, offset, shape, strides, dtype=_DTYPES[dtype.name])


def _rebuild_subclass(function: Name, kind: Name, arguments: tuple, *_: Any) -> Any:
    if (function.module, function.name) not in _REBUILD:
        raise InputError(f"it has a tensor made by {function}, which is not read; save plain tensors")
    return _REBUILD[function.module, function.name](*check_items(arguments))


def _make_scalar(dtype: Record, data: bytes | str = b"", *_: Any) -> Any:
    """A NumPy scalar that is a number; of others a record remains."""
    match dtype:
        case Record("numpy.dtype", (str() as code, *_), state) if _NUMBER.fullmatch(code):
            order = "=" if state is None or state[1] == "|" else {"<": "<", ">": ">"}[state[1]]
            return np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, order + code)[0]
    return Record("numpy.scalar", (dtype, data))


def _make_set(items: Any = ()) -> set:
    return make_set(check_items(items))


def _encode(text: str, encoding: str = "") -> bytes:
    """Bytes as protocol 2 has them."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown encoding")
    return text.encode("latin-1")


_REBUILD: Calls = {
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_typed,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
}
# What is called in an honest checkpoint, and matters to no network: it is kept as what it would be called with.
_KEPT = {
    "numpy": ("dtype",),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),
    "torch": ("device", "Size"),
    "collections": ("defaultdict",),
    "functools": ("partial",),
    "pathlib": ("Path", "PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath"),
    "datetime": ("date", "datetime", "timedelta"),
}


def _keep(name: str, *arguments: Any) -> Record:
    return Record(name, arguments)


CALLS: Calls = {
    **_REBUILD,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuild_subclass,
    ("collections", "OrderedDict"): lambda pairs=(): make_dict(map(check_items, check_items(pairs))),
    **{(module, "set"): _make_set for module in ("builtins", "__builtin__")},
    **{(module, "frozenset"): _make_set for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): _encode,
    ("numpy.core.multiarray", "scalar"): _make_scalar,
    ("numpy._core.multiarray", "scalar"): _make_scalar,
    **{(module, name): functools.partial(_keep, f"{module}.{name}") for module in _KEPT for name in _KEPT[module]},
}
