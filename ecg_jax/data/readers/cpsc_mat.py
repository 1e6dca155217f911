"""CPSC2018's own MATLAB files: a struct `ECG` {sex, age, data}, data [12, N] double in mV at 500 Hz.

Leads I, II, III, aVR, aVL, aVF, V1-V6. Source: Liu et al., J. Med. Imaging Health Inform. 8
(2018) 1368, http://2018.icbeb.org/Challenge.html. The file names neither leads nor rate nor
unit. SciPy trusts the sizes that a file announces, so they are checked before it sees them;
layout: MathWorks, "MAT-File Format", chapter 1.
"""

import io
import math
import os
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 500.0
_SIGNATURE = b"MATLAB 5.0 MAT-file"
_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15
_LARGEST = 1 << 28  # bytes, unpacked: 12 leads for over an hour
_DEEPEST = 4  # matrices within matrices; the struct needs two
_DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, ArithmeticError, MemoryError, struct.error, zlib.error)


def matches(path: str, head: bytes) -> bool:
    """Tells a MATLAB 5 file whose first variable is called `ECG`."""
    del path
    if not head.startswith(_SIGNATURE):
        return False
    start = head[_HEADER_BYTES:]
    if start[:4] == struct.pack("<i", _COMPRESSED):
        try:
            start = zlib.decompressobj().decompress(start[_TAG_BYTES:], 128)
        except zlib.error:
            return False
    return b"ECG\0" in start[:128]


def read(path: str, id: str | None = None) -> Recording:
    """Reads the recording of a file.

    Raises:
        InputError: when the file is missing, damaged or of another layout.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            content = _unpack(file.read())
        found = loadmat(io.BytesIO(content), variable_names=["ECG"], struct_as_record=True)
        data = np.asarray(found["ECG"]["data"][0, 0])
    except (*_DAMAGE, MatReadError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: no readable struct ECG with a field data ({reason})") from error
    if data.ndim != 2 or data.shape[0] != len(LEADS) or data.dtype.kind != "f":
        raise InputError(f"{path}: ECG.data is {data.dtype} {data.shape}; expected double (12, samples)")
    return create_recording(data.T, leads=LEADS, sampling_rate=SAMPLING_RATE, id=id or os.path.basename(path))


def _unpack(content: bytes) -> bytes:
    """The same file without compression, every announced size checked."""
    if content[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    parts = [content[:_HEADER_BYTES]]
    for kind, payload in _elements(memoryview(content)[_HEADER_BYTES:]):
        if kind == _COMPRESSED:
            stream = zlib.decompressobj()
            unpacked = stream.decompress(payload, _LARGEST + 1)
            if not stream.eof:
                raise ValueError(f"its end is missing, or it unpacks to more than {_LARGEST} bytes")
        else:
            unpacked = struct.pack("<II", kind, len(payload)) + payload
        for inner, matrix in _elements(memoryview(unpacked)):
            if inner == _MATRIX:
                _check_matrix(matrix, 1)
        parts.append(unpacked)
    return b"".join(parts)


def _elements(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Type and payload of each element: tag of 8 bytes, payload padded to 8; or both in 8 bytes, if small."""
    place = 0
    while place < len(view):
        kind, size = struct.unpack_from("<II", view, place)
        start, end = place + _TAG_BYTES, place + _TAG_BYTES + size
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = place + 4, place + 4 + size
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        if end > len(view):
            raise ValueError(f"an element announces {size} bytes, {len(view) - start} are left")
        yield kind, view[start:end]
        place = end if kind == _COMPRESSED else place + _TAG_BYTES + (0 if start == place + 4 else -(-size // 8) * 8)


def _check_matrix(matrix: memoryview, depth: int) -> None:
    """A matrix has at least a byte for each of its items, and so have the matrices in it."""
    elements = list(_elements(matrix))
    if len(elements) < 3 or depth > _DEEPEST:
        raise ValueError("a matrix without flags, dimensions and name" if elements else "an empty matrix")
    dimensions = struct.unpack(f"<{len(elements[1][1]) // 4}i", elements[1][1])
    if min(dimensions, default=-1) < 0 or math.prod(dimensions) > len(matrix):
        raise ValueError(f"a matrix announces dimensions {dimensions} in {len(matrix)} bytes")
    for kind, inner in elements[3:]:
        if kind == _MATRIX and len(inner):
            _check_matrix(inner, depth + 1)
