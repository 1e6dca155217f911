"""The sections of an SCP-ECG file, as far as they are looked at before the library reads them.

The library allocates as many samples as a file announces, and refuses files that count samples from 0, though some
devices do; the standard counts from 1.
"""

import binascii
import struct

from ecg_jax.errors import InputError

SECTION_0 = 6  # where its header begins, behind the record's checksum and size
_HEADER, _POINTER, _LEAD = 16, 10, 9  # bytes
_WHOLE = 100_000  # microseconds
_LEAD_DEFINITIONS, _HUFFMAN, _BEAT_PLACES, _BEAT, _RHYTHM = 3, 2, 4, 5, 6
_MOST_SAMPLES = 1 << 21  # of all leads: twelve of six minutes at 500 Hz
_SIGNAL = (_HUFFMAN, _LEAD_DEFINITIONS, _BEAT_PLACES, _BEAT, _RHYTHM)


def prepare(path: str, data: bytes) -> tuple[bytes, bool]:
    """Returns what the library reads, with samples counted from 1, and whether that was changed.

    Raises:
        InputError: when it announces more samples than its bytes can hold.
    """
    places = _find_sections(data)
    ranges = _read_ranges(data, places)
    announced = [0, *(last - first + 1 for first, last in ranges)]
    if _BEAT_PLACES in places and _BEAT in places:  # the beat's length in ms, and its interval in microseconds
        (length,), (interval,) = (
            struct.unpack_from("<H", data, places[_BEAT_PLACES]),
            struct.unpack_from("<H", data, places[_BEAT] + 2),
        )
        announced.append(1000 * length // max(interval, 1))
    if sum(announced) > (most := min(8 * len(data), _MOST_SAMPLES)):  # the shortest code of a sample is one bit
        raise InputError(f"{path}: announces {sum(announced)} samples, of which {len(data)} bytes hold at most {most}")
    if all(first != 0 for first, _ in ranges):
        return data, False
    return _count_from_one(data, places, ranges), True


def contradict_lengths(data: bytes) -> list[str]:
    """Says so where the leads' samples do not fill the section that holds them, but for a zero that makes it even."""
    places = _find_sections(data)
    if _RHYTHM not in places or _LEAD_DEFINITIONS not in places:
        return []
    leads, start = data[places[_LEAD_DEFINITIONS]], places[_RHYTHM]
    (length,) = struct.unpack_from("<I", data, start - _HEADER + 4)
    stated = sum(struct.unpack_from(f"<{leads}H", data, start + 6))
    there = length - _HEADER - 6 - 2 * leads
    is_padded = stated == there - 1 and length % 2 == 0 and data[start - _HEADER + length - 1] == 0
    if stated == there or is_padded:
        return []
    return [f"leads have {stated} bytes in all, as stated, but their section {there}: one of them is wrong"]


def find_failing(data: bytes) -> list[int]:
    """Sections of the signal whose checksum differs; where only the patient's data were changed, there are none."""
    failing = []
    for number, place in _find_sections(data).items():
        start = place - _HEADER
        stated, _, length = struct.unpack_from("<HHI", data, start)
        if number in _SIGNAL and binascii.crc_hqx(data[start + 2 : start + length], 0xFFFF) != stated:
            failing.append(number)
    return failing


def _find_sections(data: bytes) -> dict[int, int]:
    """Number of each section -> where its content begins."""
    (length,) = struct.unpack_from("<I", data, SECTION_0 + 4)
    end = min(len(data), SECTION_0 + length)
    starts = range(SECTION_0 + _HEADER, end - _POINTER + 1, _POINTER)
    pointers = [struct.unpack_from("<HII", data, start) for start in starts]
    return {number: place - 1 + _HEADER for number, size, place in pointers if size}


def _read_ranges(data: bytes, places: dict[int, int]) -> list[tuple[int, int]]:
    """The first and the last sample of each lead."""
    if _LEAD_DEFINITIONS not in places:
        return []
    start = places[_LEAD_DEFINITIONS]
    return [struct.unpack_from("<II", data, start + 2 + _LEAD * i) for i in range(data[start])]


def _count_from_one(data: bytes, places: dict[int, int], ranges: list[tuple[int, int]]) -> bytes:
    """Shifts each lead's range; where the last sample is the number of samples already, the first alone."""
    changed = bytearray(data)
    start = places[_LEAD_DEFINITIONS]
    for i, (first, last) in enumerate(ranges):
        is_count = _is_count(data, places, i, last)
        struct.pack_into("<II", changed, start + 2 + _LEAD * i, first + 1, last if is_count else last + 1)
    (length,), (size,) = struct.unpack_from("<I", data, start - _HEADER + 4), struct.unpack_from("<I", data, 2)
    for begin, end in ((start - _HEADER, start - _HEADER + length), (0, size)):
        if struct.unpack_from("<H", data, begin)[0] == binascii.crc_hqx(data[begin + 2 : end], 0xFFFF):
            struct.pack_into("<H", changed, begin, binascii.crc_hqx(changed[begin + 2 : end], 0xFFFF))
    return bytes(changed)


def _is_count(data: bytes, places: dict[int, int], lead: int, last: int) -> bool:
    """Whether the last sample of a lead that begins at 0 is the number of samples, one more than it should be."""
    if _RHYTHM not in places:
        return False
    if _HUFFMAN not in places:
        (size,) = struct.unpack_from("<H", data, places[_RHYTHM] + 6 + 2 * lead)
        return last == size // 2
    (interval,) = struct.unpack_from("<H", data, places[_RHYTHM] + 2)
    return last * interval % _WHOLE == 0  # how many are packed is not seen, but ECGs last for a round time
