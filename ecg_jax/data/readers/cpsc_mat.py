"""CPSC2018's own MATLAB files: a struct `ECG` {sex, age, data}, data [12, N] double in mV at 500 Hz.

Leads I, II, III, aVR, aVL, aVF, V1-V6. Source: Liu et al., J. Med. Imaging Health Inform. 8
(2018) 1368, http://2018.icbeb.org/Challenge.html. The file names neither leads nor rate nor
unit. The struct is parsed here, not by SciPy, which trusts the sizes that a file announces:
damaged files make it allocate without bound or end the process. Layout: MathWorks,
"MAT-File Format", chapter 1.
"""

import math
import os
import struct
import zlib
from typing import NamedTuple

import numpy as np

from ecg_jax import budget
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 500.0
_SIGNATURE = b"MATLAB 5.0 MAT-file"
_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_MOST_ELEMENTS = 1000  # of one level; a struct of three fields has ten
_STRUCT = 2
_CLASSES = {6: np.float64, 7: np.float32}
_STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, ArithmeticError, MemoryError, struct.error, zlib.error)


class _Matrix(NamedTuple):
    """Class, dimensions, name, and what follows them: type and payload of each element."""

    kind: int
    shape: tuple[int, ...]
    name: bytes
    parts: list[tuple[int, memoryview]]


def matches(path: str, head: bytes) -> bool:
    """Tells a MATLAB 5 file whose first variable is called `ECG`."""
    del path
    return begins_with(head, b"ECG")


def begins_with(head: bytes, name: bytes) -> bool:
    """Tells a MATLAB 5 file by the name of its first variable."""
    if not head.startswith(_SIGNATURE):
        return False
    start = head[_HEADER_BYTES:]
    if start[:4] == struct.pack("<i", _COMPRESSED):
        try:
            start = zlib.decompressobj().decompress(start[_TAG_BYTES:], 128)
        except zlib.error:
            return False
    return name + b"\0" in start[:128]


def read(path: str, id: str | None = None) -> Recording:
    """Reads the recording of a file.

    Raises:
        InputError: when the file is missing, damaged or of another layout.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            data = _find_data(file.read())
    except DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: no readable struct ECG with a field data ({reason})") from error
    if data.ndim != 2 or data.shape[0] != len(LEADS) or data.dtype.kind != "f":
        raise InputError(f"{path}: ECG.data is {data.dtype} {data.shape}; expected double (12, samples)")
    return create_recording(data.T, leads=LEADS, sampling_rate=SAMPLING_RATE, id=id or os.path.basename(path))


def read_variable(content: bytes, name: bytes) -> np.ndarray:
    """Reads a numeric variable of a MATLAB 5 file.

    Raises:
        ValueError, and others of a damaged file: when it is not there.
    """
    return _parse_array(_find_variable(content, name))


def _find_data(content: bytes) -> np.ndarray:
    """The field `data` of the struct `ECG`."""
    return _parse_array(_find_field(_find_variable(content, b"ECG"), b"data"))


def _find_variable(content: bytes, name: bytes) -> _Matrix:
    if content[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    for kind, payload in _elements(memoryview(content)[_HEADER_BYTES:]):
        unpacked = _unpack(payload) if kind == _COMPRESSED else [(kind, payload)]
        for inner, matrix in unpacked:
            if inner == _MATRIX and (found := _parse_matrix(matrix)).name == name:
                return found
    raise ValueError(f"no variable {name.decode()}")


def _unpack(payload: memoryview) -> list[tuple[int, memoryview]]:
    stream = zlib.decompressobj()
    largest = budget.limit_unpacked(len(payload))
    unpacked = stream.decompress(payload, largest + 1)
    if not stream.eof:
        raise ValueError(f"its end is missing, or it unpacks to more than {largest} bytes")
    return _elements(memoryview(unpacked))


def _elements(view: memoryview) -> list[tuple[int, memoryview]]:
    """Type and payload of each element: tag of 8 bytes, payload padded to 8; or both in 8 bytes, if small."""
    place = 0
    found: list[tuple[int, memoryview]] = []
    while place < len(view):
        kind, size = struct.unpack_from("<II", view, place)
        start, padded = place + _TAG_BYTES, -(-size // 8) * 8
        if kind >> 16:
            kind, size, start, padded = kind & 0xFFFF, kind >> 16, place + 4, 0
        if start + size > len(view) or (padded == 0 and size > 4):
            raise ValueError(f"an element announces {size} bytes, {len(view) - start} are left")
        if len(found) == _MOST_ELEMENTS:
            raise ValueError(f"it has more than {_MOST_ELEMENTS} elements")
        found.append((kind, view[start : start + size]))
        place += _TAG_BYTES + (size if kind == _COMPRESSED else padded)
    return found


def _parse_matrix(matrix: memoryview) -> _Matrix:
    (_, flags), (_, dimensions), (_, name), *parts = _elements(matrix)
    shape = struct.unpack(f"<{len(dimensions) // 4}i", dimensions)
    return _Matrix(flags[0], shape, bytes(name), parts)


def _find_field(matrix: _Matrix, name: bytes) -> _Matrix:
    (_, length), (_, names), *fields = matrix.parts
    (width,) = struct.unpack("<i", length)
    if matrix.kind != _STRUCT or math.prod(matrix.shape) != 1 or width <= 0:
        raise ValueError(f"ECG is of class {matrix.kind} and shape {matrix.shape}, not one struct")
    found = [bytes(names[i : i + width]).rstrip(b"\0") for i in range(0, len(names), width)]
    kind, field = fields[found.index(name)]
    if kind != _MATRIX:
        raise ValueError(f"its field {name.decode()} is no matrix")
    return _parse_matrix(field)


def _parse_array(matrix: _Matrix) -> np.ndarray:
    """MATLAB stores whole numbers as integers, of whatever class they are."""
    if min(matrix.shape) < 0:
        raise ValueError(f"its dimensions are {matrix.shape}")
    kind, values = matrix.parts[0]
    array = np.frombuffer(values, _STORED[kind]).reshape(matrix.shape, order="F")
    return array.astype(_CLASSES.get(matrix.kind, array.dtype))
