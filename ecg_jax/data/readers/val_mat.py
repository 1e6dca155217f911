"""A matrix `val` in a MATLAB file, version 4 or 5: the signal file of a Challenge's record, without its header.

Layout of version 4: MathWorks, "MAT-File Format", chapter 2: five int32 (kind, rows, columns, whether imaginary,
length of the name), the name, the values column by column.
"""

import os
import struct

import numpy as np

from ecg_jax.data.readers import cpsc_mat
from ecg_jax.errors import InputError

_NAME = b"val\0"
_HEADER = struct.Struct("<5i")
_TYPES = {0: "<f8", 10: "<f4", 20: "<i4", 30: "<i2", 40: "<u2", 50: "u1"}


def matches(head: bytes) -> bool:
    """Tells either version by the name of its first variable."""
    return head[_HEADER.size :].startswith(_NAME) or cpsc_mat.begins_with(head, b"val")


def read(path: str) -> np.ndarray:
    """Reads the matrix, `[rows, columns]`.

    Raises:
        InputError: when the file is damaged.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
        if not content[_HEADER.size :].startswith(_NAME):
            values = cpsc_mat.read_variable(content, b"val")
        else:
            kind, rows, columns, _, _ = _HEADER.unpack_from(content)
            count = rows * columns if min(rows, columns) > 0 else 0
            values = np.frombuffer(content, _TYPES[kind], count, _HEADER.size + len(_NAME))
            values = values.reshape(columns, rows).T
    except cpsc_mat.DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{os.fspath(path)}: no readable matrix val ({reason})") from error
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: val is {values.dtype} {values.shape}; expected numbers, leads times samples")
    return values
