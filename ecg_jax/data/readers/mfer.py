"""MFER files (ISO 22077; `.mwf`), through the library ecgdatakit.

A file is a sequence of definitions (tag, length, value); a channel's may be inside a definition of its own, closed by
two zeros instead of a length. Dominant beats are left out. Files without a preamble are known by their suffix.
"""

from ecg_jax.data.readers import library_record, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_BYTE_ORDER, _CHANNELS, _WAVEFORM, _CHANNEL, _PREAMBLE, _SET, _END = 0x01, 0x05, 0x1E, 0x3F, 0x40, 0x67, 0x80
_OPEN = 0x80  # a length that is not stated
_MOST_CHANNELS, _MOST_PIECES, _DEEPEST = 256, 200_000, 8


def matches(path: str, head: bytes) -> bool:
    """Tells the preamble."""
    return head[:1] == bytes([_PREAMBLE]) and head[2:6] == b"MFR "


@reading.reader("MFER", library_record.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads all leads; raises `InputError` when the file is damaged, compressed, or states no voltage."""
    from ecgdatakit.parsing.parsers.mfer import MFERParser

    _check_counts(path, reading.read_bytes(path))
    record, notes = library_record.parse(path, MFERParser())
    rates = record.raw_metadata["sampling_rates"]
    return library_record.to_recording(path, id, record.leads, rates, notes)


def _check_counts(path: str, data: bytes) -> None:
    """Bounds channels times waveforms, and the depth of definitions, with whose square the library's work grows."""
    place, depth, channels, pieces, is_little = 0, 0, 1, 0, False
    while place < len(data) and data[place] != _END:
        tag = data[place]
        if tag == 0:
            is_close = depth > 0 and data[place + 1 : place + 2] == b"\0"
            place, depth = place + 1 + is_close, depth - is_close
            continue
        place, length = _read_length(data, place)
        depth += length is None
        value = data[place : place + min(length or 0, 4)]
        if tag == _BYTE_ORDER:
            is_little = value == b"\1"
        elif tag == _CHANNELS:
            channels = int.from_bytes(value, "little" if is_little else "big")
        pieces += channels * (tag == _WAVEFORM)
        if channels > _MOST_CHANNELS or pieces > _MOST_PIECES or depth > _DEEPEST:
            raise InputError(
                f"{path}: {channels} channels, {pieces} stretches of them, definitions {depth} deep; at most "
                f"{_MOST_CHANNELS}, {_MOST_PIECES} and {_DEEPEST} are read"
            )
        place += 0 if tag in (_CHANNEL, _SET) else length or 0


def _read_length(data: bytes, place: int) -> tuple[int, int | None]:
    """Where a definition's value begins, and its length; None where it is closed by two zeros."""
    tag, place = data[place], place + 1
    if tag == _CHANNEL:  # its number, seven bits to a byte
        while data[place] & 0x80:
            place += 1
        place += 1
    first = data[place]
    if first == _OPEN:
        return place + 1, None
    width = first & 0x7F if first & 0x80 else 0
    start = place + 1 + width
    return start, int.from_bytes(data[place + 1 : start], "big") if width else first
