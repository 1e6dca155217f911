"""DICOM waveforms (12-lead, general, ambulatory ECG): the rhythm, not the median beat.

Source: DICOM PS3.3 C.10.9 (waveform module) and PS3.16 CID 3001. A value is sample x sensitivity x correction factor +
baseline, the baseline in the sensitivity's unit. Leads are coded in two schemes that share their numbers, 2:n (MDC) and
5.6.3-9-n (SCP-ECG), or by name. Traps: median beats are marked as derived, or by their label alone; files without the
128-byte preamble; a deflated data set, which is unpacked only up to a bound.
"""

import io
import re
import zlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from ecg_jax import budget
from ecg_jax.data.readers import groups, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_lead

LARGEST_FILE = 128 * 2**20  # bytes; three leads of a day are less
_ITEMS, _MOST_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"), 10_000  # tags that begin an item
_LAST_FIRST_ELEMENT, _LONGEST_FIRST_VALUE = 0x18, 128  # of a file without preamble
_FIRST_TYPES = (b"UL", b"OB", b"UI", b"CS", b"DA")

_INTEGERS = {"SB": "i1", "UB": "u1", "SS": "i2", "US": "u2", "SL": "i4", "UL": "u4"}
_BEAT = re.compile(r"MEDIAN|AVERAGE|BEAT|REPRESENTATIVE|TEMPLATE", re.IGNORECASE)
_NOT_A_SIGNAL = {"DISCONNECTED", "INVALID", "TEST DATA"}
_NOT_APPLIED = ("ChannelTimeSkew", "ChannelSampleSkew", "ChannelOffset")
_TAGS: list[BaseTag | int] = [0x00080005, 0x00080016, 0x54000100]  # character set, kind, waveforms
_REQUIRED = (
    *("ChannelDefinitionSequence", "NumberOfWaveformChannels", "NumberOfWaveformSamples", "SamplingFrequency"),
    *("WaveformBitsAllocated", "WaveformSampleInterpretation", "WaveformData"),
)


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is DICOM: by its prefix, or without one by its first element."""
    if head[128:132] == b"DICM":
        return True
    is_first = head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0" and head[2] <= _LAST_FIRST_ELEMENT
    length = int.from_bytes(head[4:8], "little")  # implicit types: another element of the group follows a short value
    is_implicit = length <= _LONGEST_FIRST_VALUE and head[8 + length : 10 + length] == head[:2]
    return is_first and (head[4:6] in _FIRST_TYPES or is_implicit)


@reading.reader("DICOM", LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the original waveform; raises `InputError` when there is none, or its unit is not stated."""
    dataset, byte_order = _parse(path, reading.read_bytes(path))
    sequence = dataset.get("WaveformSequence")
    if not sequence:
        kind = str(getattr(dataset.get("SOPClassUID"), "name", "unknown"))
        raise InputError(f"{path}: no waveform in it (its kind is {kind[:60]!r}); export the ECG as a DICOM waveform")
    rhythms = [item for item in sequence if _is_rhythm(item)]
    if not rhythms:
        raise InputError(f"{path}: only derived waveforms (median beats); export the original rhythm")
    return groups.to_recording(path, id, *(_read_group(path, item, byte_order) for item in rhythms))


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
    return not _BEAT.search(label) and (item.get("WaveformOriginality") != "DERIVED" or "RHYTHM" in label.upper())


def _read_group(path: str, item: Dataset, byte_order: str) -> groups.Group:
    missing = [name for name in _REQUIRED if item.get(name) in (None, "")]
    if missing:
        raise InputError(f"{path}: the waveform has no {', '.join(missing)}; export the ECG again")
    channels = list(item.ChannelDefinitionSequence)
    digital, padding = _read_samples(path, item, len(channels), byte_order)
    samples = digital.astype(np.float64)
    if padding is not None:
        samples[_find_padding(digital, padding)] = np.nan
    leads = tuple(_read_lead(path, channel, number) for number, channel in enumerate(channels, 1))
    steps = np.empty(len(leads))
    for column, (lead, channel) in enumerate(zip(leads, channels, strict=True)):
        steps[column], baseline = _read_scale(path, lead, channel)
        samples[:, column] += baseline / steps[column]
        if _NOT_A_SIGNAL & {*_list_states(channel)}:
            samples[:, column] = np.nan
    offset = item.get("MultiplexGroupTimeOffset")
    return groups.Group(
        samples=samples,
        leads=leads,
        millivolts_per_unit=steps,
        sampling_rate=float(item.SamplingFrequency),
        start=None if offset is None else float(offset),
        notes=tuple(groups.describe_leads(leads, [*map(_describe_channel, channels)])),
    )


def _find_padding(digital: np.ndarray, padding: int) -> np.ndarray:
    """Where there is no sample, `[samples, channels]` bool.

    A value within the range of the others is a voltage, too; it is padding only at the beginning or the end, where all
    channels have it.
    """
    is_padding = digital == padding
    others = digital[~is_padding]
    if not others.size or not others.min() < padding < others.max():
        return is_padding
    recorded = np.flatnonzero(~is_padding.all(axis=1))
    is_padding[recorded[0] : recorded[-1] + 1] = False
    return is_padding


def _read_samples(path: str, item: Dataset, channels: int, byte_order: str) -> tuple[np.ndarray, int | None]:
    """Returns `[samples, channels]` integers and the value that means no sample."""
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


def _read_lead(path: str, channel: Dataset, number: int) -> str:
    """The lead that the channel's source states; code and meaning must not contradict each other."""
    source = (channel.get("ChannelSourceSequence") or [Dataset()])[0]
    code, meaning = str(source.get("CodeValue") or "").strip(), str(source.get("CodeMeaning") or "").strip()
    by_code, by_meaning = canonical_lead(code), canonical_lead(re.sub(r"\s*[(,].*", "", meaning, flags=re.DOTALL))
    standard = {by_code, by_meaning} & {*LEADS}
    if len(standard) > 1:
        raise InputError(f"{path}: channel {number} is {code[:40]!r} by code, {meaning[:40]!r} by meaning; they differ")
    stated = standard.pop() if standard else by_meaning or str(channel.get("ChannelLabel") or "").strip() or code
    return groups.lead(path, stated)


def _read_scale(path: str, lead: str, channel: Dataset) -> tuple[float, float]:
    """The voltage of one step, and of sample 0, both in mV."""
    sensitivity, units = channel.get("ChannelSensitivity"), channel.get("ChannelSensitivityUnitsSequence")
    if sensitivity is None or not units:
        raise InputError(f"{path}: lead {lead} has no sensitivity or no unit; uncalibrated samples cannot be read")
    factor = groups.millivolts(path, f"lead {lead}", str(units[0].get("CodeValue") or ""))
    correction = channel.get("ChannelSensitivityCorrectionFactor")
    step = float(sensitivity) * (1.0 if correction is None else float(correction)) * factor
    baseline = float(channel.get("ChannelBaseline") or 0) * factor
    if not np.isfinite(step) or step == 0 or not np.isfinite(baseline):
        raise InputError(
            f"{path}: sensitivity of lead {lead} is {step:g} mV, baseline {baseline:g} mV; both must be real"
        )
    return step, baseline


def _describe_channel(channel: Dataset) -> list[str]:
    """Notes on a channel that is not an ordinary signal."""
    notes = [f"state {state[:40]!r}" for state in _list_states(channel) if state != "OK"]
    if channel.get("ChannelDerivationDescription"):
        notes.append("derived by whoever made the file")
    skews = {field: channel.get(field) for field in _NOT_APPLIED if float(channel.get(field) or 0)}
    return notes + [f"{field} is {value}, which was not applied" for field, value in skews.items()]


def _list_states(channel: Dataset) -> list[str]:
    value = channel.get("ChannelStatus") or ()
    return [value] if isinstance(value, str) else [str(state) for state in value]
