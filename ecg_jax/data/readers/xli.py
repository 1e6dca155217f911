"""XLI, the compression of Philips Sierra XML: LZW, two byte planes, second differences.

Each lead is a chunk: 8 bytes of header (size int32, a code int16, start int16, little-endian), then LZW in codes of 10
bits, most significant bit first, without a clear code; the table is full, and stays as it is, at 1023 entries; code
1023 ends the stream. What it unpacks to is the high bytes of all values, then their low bytes. The first two values are
samples; each later sample continues the slope of the two before it, minus a correction. The first correction is the
header's start, the others are the values, less 64 and one place late.

Source: the format as the sierra-ecg-tools project describes it. Its PyPI package `sierraecg` gives the same samples for
whole files; it is not used because a damaged chunk can make it unpack without bound or raise any error, and because it
changes the leads of files that are not compressed.
"""

import struct

import numpy as np

from ecg_jax import budget

CODE_BITS = 10
END = (1 << CODE_BITS) - 1
_HEADER = struct.Struct("<ihh")


def decode(data: bytes, leads: int, samples: int) -> np.ndarray:
    """Unpacks the first `leads` of all chunks, one after the other in `data` (devices write 16), of `samples` each.

    Returns:
        `[samples, leads]` int16.

    Raises:
        ValueError: when a chunk is cut off or does not hold `samples` samples.
    """
    largest = budget.limit_unpacked(len(data))
    if 2 * samples * leads > largest:
        raise ValueError(f"{samples} samples of {leads} leads are more than the {largest} bytes it may unpack to")
    columns, offset = [], 0
    for lead in range(1, leads + 1):
        if offset + _HEADER.size > len(data):
            raise ValueError(f"it holds {lead - 1} leads of {leads}")
        size, _, start = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        if not 0 < size <= len(data) - offset:
            raise ValueError(f"chunk {lead} announces {size} bytes of {len(data) - offset}")
        planes = _unpack_lzw(data[offset : offset + size], limit=2 * samples)
        if len(planes) != 2 * samples:
            raise ValueError(f"chunk {lead} holds {len(planes) // 2} samples of {samples}")
        columns.append(_integrate(planes, start))
        offset += size
    return np.stack(columns, axis=1)


def _unpack_lzw(chunk: bytes, limit: int) -> bytes:
    """Unpacks LZW; stops at the first code that leads beyond `limit` bytes."""
    useful = chunk[: limit * CODE_BITS // 8 + 2]  # a code gives at least one byte
    bits = np.unpackbits(np.frombuffer(useful, np.uint8))
    places = (1 << np.arange(CODE_BITS)[::-1]).astype(np.uint16)
    codes = bits[: len(bits) // CODE_BITS * CODE_BITS].reshape(-1, CODE_BITS) @ places
    table = [bytes([value]) for value in range(256)]
    parts, length, previous = [], 0, b""
    for code in codes.tolist():
        if code == END or length > limit:
            break
        if code > len(table) or (code == len(table) and not previous):
            raise ValueError(f"LZW code {code} before it is defined")
        entry = table[code] if code < len(table) else previous + previous[:1]
        if previous and len(table) < END:
            table.append(previous + entry[:1])
        parts.append(entry)
        length += len(entry)
        previous = entry
    return b"".join(parts)


def _integrate(planes: bytes, start: int) -> np.ndarray:
    """Joins the byte planes and sums the second differences twice; `[samples]` int16, wrapping like the device's."""
    high, low = np.frombuffer(planes, np.uint8).reshape(2, -1).astype(np.int64)
    values = (high << 8 | low).astype(np.uint16).view(np.int16).astype(np.int64)
    slopes = np.diff(values[:2], prepend=0)
    corrections = np.concatenate([[0, start], values[2:-1] - 64])[: max(len(values) - 1, 0)]
    return np.cumsum(np.concatenate([slopes[:1], slopes[1:] - np.cumsum(corrections)])).astype(np.int16)
