"""Numeric variables of MATLAB files, versions 4 and 5, as `cpsc_mat` and `arrays` need them.

They are parsed here, not by SciPy, which trusts the sizes that a file announces: damaged files make it allocate without
bound or end the process. Layout: MathWorks, "MAT-File Format", chapters 1 and 2. Version 4 has five int32 (kind, rows,
columns, whether imaginary, length of the name), the name, the values column by column.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ecg_jax import budget

_SIGNATURE = b"MATLAB 5.0 MAT-file"
_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED, _STRUCT = 14, 15, 2
_MOST_ELEMENTS = 1000  # of one level; a struct of three fields has ten
_CLASSES = {6: np.float64, 7: np.float32}
_NUMBERS = range(6, 16)  # classes, from double to uint64
_STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_HEADER_4 = struct.Struct("<5i")
_STORED_4 = {0: "<f8", 10: "<f4", 20: "<i4", 30: "<i2", 40: "<u2", 50: "u1"}


class _Matrix(NamedTuple):
    """Class, dimensions, name, and what follows them: type and payload of each element."""

    kind: int
    shape: tuple[int, ...]
    name: bytes
    parts: list[tuple[int, memoryview]]


def begins_with(head: bytes, name: bytes) -> bool:
    """Tells a file of version 5 by the name of its first variable."""
    if not head.startswith(_SIGNATURE):
        return False
    start = head[_HEADER_BYTES:]
    if start[:4] == struct.pack("<i", _COMPRESSED):
        try:
            start = zlib.decompressobj().decompress(start[_TAG_BYTES:], 128)
        except zlib.error:
            return False
    return name + b"\0" in start[:128]


def begins_with_4(head: bytes, name: bytes) -> bool:
    """Tells a file of version 4 likewise."""
    return head[_HEADER_4.size :].startswith(name + b"\0")


def read_4(content: bytes, name: bytes) -> np.ndarray:
    """Reads the first variable, called `name`, of a file of version 4; see `read`."""
    kind, rows, columns, _, _ = _HEADER_4.unpack_from(content)
    count = rows * columns if min(rows, columns) > 0 else 0
    return np.frombuffer(content, _STORED_4[kind], count, _HEADER_4.size + len(name) + 1).reshape(columns, rows).T


def read(content: bytes, name: bytes, field: bytes = b"") -> np.ndarray:
    """Reads a numeric variable of a file of version 5, or a field of a struct.

    Raises:
        ValueError, or others of a damaged file: when it is not there.
    """
    for found in _list_matrices(content):
        if found.name == name:
            return _parse_array(_find_field(found, field) if field else found)
    raise ValueError(f"no variable {name.decode()}")


def read_numbers(content: bytes) -> dict[str, float]:
    """Reads the variables of a file of version 5 that are one number each; raises like `read`."""
    single = [found for found in _list_matrices(content) if found.kind in _NUMBERS and math.prod(found.shape) == 1]
    return {found.name.decode("latin-1"): float(_parse_array(found).item()) for found in single}


def _list_matrices(content: bytes) -> Iterator[_Matrix]:
    if content[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    for kind, payload in _elements(memoryview(content)[_HEADER_BYTES:]):
        for inner, matrix in _unpack(payload) if kind == _COMPRESSED else [(kind, payload)]:
            if inner == _MATRIX:
                yield _parse_matrix(matrix)


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
        raise ValueError(f"{matrix.name.decode()} is of class {matrix.kind} and shape {matrix.shape}, not one struct")
    found = [bytes(names[i : i + width]).rstrip(b"\0") for i in range(0, len(names), width)]
    kind, field = fields[found.index(name)]
    if kind != _MATRIX:
        raise ValueError(f"its field {name.decode()} is not a matrix")
    return _parse_matrix(field)


def _parse_array(matrix: _Matrix) -> np.ndarray:
    """MATLAB stores whole numbers as integers, of whatever class they are."""
    if min(matrix.shape) < 0:
        raise ValueError(f"its dimensions are {matrix.shape}")
    kind, values = matrix.parts[0]
    array = np.frombuffer(values, _STORED[kind]).reshape(matrix.shape, order="F")
    return array.astype(_CLASSES.get(matrix.kind, array.dtype))
