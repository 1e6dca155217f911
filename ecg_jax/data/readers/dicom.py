"""DICOM waveforms (12-lead, general, ambulatory ECG): the rhythm, not the median beat.

Source: DICOM PS3.3 C.10.9 (waveform module). Traps: median beats are marked as derived, or by
their label alone; files without the 128-byte preamble; a deflated data set, which is unpacked
only up to a bound.
"""

import io
import os
import re
import struct
import zlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from ecg_jax import budget
from ecg_jax.data.readers import dicom_channel, groups
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

LARGEST_FILE = 128 * 2**20  # bytes; three leads of a day are less
_ITEMS, _MOST_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"), 10_000  # tags that begin an item
LAST_FIRST_ELEMENT, LONGEST_FIRST_VALUE = 0x18, 128  # of a file without preamble

_INTEGERS = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
_BEAT = re.compile(r"MEDIAN|AVERAGE|BEAT|REPRESENTATIVE|TEMPLATE", re.IGNORECASE)
_TAGS: list[BaseTag | int] = [0x00080005, 0x00080016, 0x54000100]  # character set, kind, waveforms
_REQUIRED = (
    *("ChannelDefinitionSequence", "NumberOfWaveformChannels", "NumberOfWaveformSamples", "SamplingFrequency"),
    *("WaveformBitsAllocated", "WaveformSampleInterpretation", "WaveformData"),
)
# pydicom checks little of what it reads: on a damaged file its own assumptions fail in all these ways.
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError),
    *(RuntimeError, TypeError, ValueError, struct.error, zlib.error),
    *(pydicom.errors.BytesLengthException, pydicom.errors.InvalidDicomError),
)


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is DICOM: by its prefix, or without one by its first element."""
    if head[128:132] == b"DICM":
        return True
    is_first = head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0" and head[2] <= LAST_FIRST_ELEMENT
    return is_first and (head[4:6] in (b"UL", b"OB", b"UI", b"CS", b"DA") or _is_implicit(head))


def _is_implicit(head: bytes) -> bool:
    """True when the first element has a short value, and another element of its group comes after it."""
    length = int.from_bytes(head[4:8], "little")
    return length <= LONGEST_FIRST_VALUE and head[8 + length : 10 + length] == head[:2]


def read(path: str, id: str | None = None) -> Recording:
    """Reads the original waveform.

    Args:
        path: The DICOM file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged, holds no original waveform, or does not state its unit.
    """
    path = os.fspath(path)
    try:
        if os.path.getsize(path) > LARGEST_FILE:
            raise InputError(f"{path}: {os.path.getsize(path)} bytes; a DICOM ECG has at most {LARGEST_FILE}")
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return _read(path, id or os.path.basename(path), data)
    except InputError:
        raise
    except _DAMAGE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{path}: not a readable DICOM file ({reason}); export it again") from error


def _read(path: str, id: str, data: bytes) -> Recording:
    dataset, byte_order = _parse(path, data)
    sequence = dataset.get("WaveformSequence")
    if not sequence:
        kind = str(getattr(dataset.get("SOPClassUID"), "name", "unknown"))
        raise InputError(f"{path}: no waveform in it (its kind is {kind[:60]!r}); export the ECG as a DICOM waveform")
    rhythms = [item for item in sequence if _is_rhythm(item)]
    if not rhythms:
        raise InputError(f"{path}: only derived waveforms (median beats); export the original rhythm")
    group = groups.choose(path, [_read_group(path, item, byte_order) for item in rhythms])
    return groups.to_recording(path, id, group)


def _parse(path: str, data: bytes) -> tuple[Dataset, str]:
    """Returns the data set, read as far as needed, and its byte order, `<` or `>`."""
    _check_items(path, data)
    stream = io.BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    syntax = meta.get("TransferSyntaxUID")
    if syntax != DeflatedExplicitVRLittleEndian:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=_TAGS)
        return dataset, ">" if syntax == ExplicitVRBigEndian else "<"
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    largest = budget.limit_unpacked(len(data))
    plain = inflate.decompress(data[stream.tell() :], largest)
    if inflate.unconsumed_tail or not inflate.eof:
        raise InputError(f"{path}: its deflated part is cut off or exceeds {largest} bytes; export it plain")
    _check_items(path, plain)
    return read_dataset(io.BytesIO(plain), False, True, specific_tags=_TAGS), "<"


def _check_items(path: str, data: bytes) -> None:
    """Refuses sequences of more items than channels could need, each of which the library makes an object of."""
    if (found := max(map(data.count, _ITEMS))) > _MOST_ITEMS:
        raise InputError(f"{path}: {found} items in sequences; at most {_MOST_ITEMS} are read")


def _is_rhythm(item: Dataset) -> bool:
    label = str(item.get("MultiplexGroupLabel") or "")
    if _BEAT.search(label):
        return False
    return item.get("WaveformOriginality") != "DERIVED" or "RHYTHM" in label.upper()


def _read_group(path: str, item: Dataset, byte_order: str) -> groups.Group:
    missing = [name for name in _REQUIRED if item.get(name) in (None, "")]
    if missing:
        raise InputError(f"{path}: the waveform has no {', '.join(missing)}; export the ECG again")
    channels = list(item.ChannelDefinitionSequence)
    digital, padding = _read_samples(path, item, len(channels), byte_order)
    samples = digital.astype(np.float64)
    if padding is not None:
        samples[_find_padding(digital, padding)] = np.nan
    leads = tuple(dicom_channel.lead_name(path, channel, number) for number, channel in enumerate(channels, 1))
    steps = np.empty(len(leads))
    for column, (lead, channel) in enumerate(zip(leads, channels, strict=True)):
        steps[column], baseline = dicom_channel.read_scale(path, lead, channel)
        samples[:, column] += baseline / steps[column]
        if not dicom_channel.is_signal(channel):
            samples[:, column] = np.nan
    offset = item.get("MultiplexGroupTimeOffset")
    return groups.Group(
        samples=samples,
        leads=leads,
        millivolts_per_unit=steps,
        sampling_rate=float(item.SamplingFrequency),
        start=None if offset is None else float(offset),
        notes=tuple(groups.describe_leads(leads, [dicom_channel.describe(channel) for channel in channels])),
    )


def _find_padding(digital: np.ndarray, padding: int) -> np.ndarray:
    """Where there is no sample, `[samples, channels]` bool.

    A value within the range of the others is a voltage, too; it is padding only at the beginning
    or the end, where all channels have it.
    """
    is_padding = digital == padding
    others = digital[~is_padding]
    if not others.size or not others.min() < padding < others.max():
        return is_padding
    recorded = np.flatnonzero(~is_padding.all(axis=1))
    is_padding[recorded[0] : recorded[-1] + 1] = False
    return is_padding


def _read_samples(path: str, item: Dataset, channels: int, byte_order: str) -> tuple[np.ndarray, int | None]:
    """Returns `[samples, channels]` integers and the value that stands for no sample."""
    kind, bits = str(item.WaveformSampleInterpretation), int(item.WaveformBitsAllocated)
    if kind not in _INTEGERS or bits != 8 * int(_INTEGERS[kind][1]):
        raise InputError(
            f"{path}: samples {kind[:20]!r} of {bits} bits; known: {', '.join(_INTEGERS)} of their own size"
        )
    dtype = np.dtype(byte_order + _INTEGERS[kind])
    count, announced = int(item.NumberOfWaveformSamples), int(item.NumberOfWaveformChannels)
    data = bytes(item.WaveformData)
    needed = count * channels * dtype.itemsize
    if announced != channels or needed <= 0 or not needed <= len(data) <= needed + needed % 2:
        raise InputError(
            f"{path}: {len(data)} bytes of samples and {channels} channel definitions for {announced} channels"
            f" x {count} samples; they must agree, so the file is damaged"
        )
    stored = item.get("WaveformPaddingValue")
    if isinstance(stored, bytes):
        stored = np.frombuffer(stored[: dtype.itemsize], dtype)[0] if len(stored) >= dtype.itemsize else None
    digital = np.frombuffer(data[:needed], dtype).reshape(count, channels)
    return digital, None if stored is None else int(stored)
