"""EDF, EDF+ and BDF (https://www.edfplus.info/specs/edf.html), through the library edfio.

Leads go by label (`ECG I`, `EKG V1`, `I-REF`, `ECG aVR`); signals that are none of the twelve leads, and annotations,
are left out. Traps: the library goes on where a file is truncated, has no calibration (it returns raw values), or is
interrupted (EDF+D); here each is refused. Some programs pad the header with NUL, write on after the last data record,
or fill it with the lowest value.
"""

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_leads, create_recording, describe_negative

if TYPE_CHECKING:
    import edfio

    _Content = edfio.Edf | edfio.Bdf
    _Signal = edfio.EdfSignal | edfio.BdfSignal

_VERSION, _BDF_VERSION = b"0       ", b"\xffBIOSEMI"
_HEADER_BYTES = 256  # of the file, and again for each signal
_BEFORE_COUNTS = 216  # bytes of each signal's header, which the file stores field by field
_RECORDS, _SIGNALS = slice(236, 244), slice(252, 256)
_PADDING = b" \0"


def matches(path: str, head: bytes) -> bool:
    """Tells the version and the number of signals, both as padded text."""
    return head.startswith((_VERSION, _BDF_VERSION)) and head[_SIGNALS].strip(_PADDING).isdigit()


@reader("EDF")
def read(path: str, id: str) -> Recording:
    """Reads the ECG leads of a file.

    Raises:
        InputError: when the file is damaged, truncated or interrupted, has none of the twelve leads, or its leads
            differ in rate or have no voltage.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is checked below
        content, head = _open(path)
        records, notes = _count_records(path, content, head)
        signals = _select_leads(path, content)
        first = next(iter(signals.values()))
        length = records * first.samples_per_data_record
        values = np.stack([_calibrate(path, *each)[:length] for each in signals.items()], axis=1)
        end = _find_end([signal.digital[:length] > signal.digital_min for signal in signals.values()])
    notes += _describe_signals(content, signals)
    stated = {units.find_millivolts(signal.physical_dimension) for signal in signals.values()}
    if end < length:
        notes.append(
            f"the last {length - end} samples are filled with the lowest value in every lead; they are invalid"
        )
    return create_recording(
        values,
        leads=signals,
        sampling_rate=first.sampling_frequency,
        id=id,
        valid=np.broadcast_to(np.arange(length)[:, None] < end, values.shape),
        duration=records * content.data_record_duration,
        unit=stated.pop() if len(stated) == 1 else None,
        notes=notes,
    )


def _open(path: str) -> "tuple[_Content, bytes]":
    """The file, and its header, in which NUL is replaced by spaces."""
    import edfio

    with open(path, "rb") as file:
        head = file.read(_HEADER_BYTES)
        size = _HEADER_BYTES * (1 + int(head[_SIGNALS].strip(_PADDING)))
        head += file.read(size - _HEADER_BYTES)
        plain = head.replace(b"\0", b" ")
        source = Path(path) if plain == head else io.BytesIO(plain + file.read())
    read_file = edfio.read_bdf if head.startswith(_BDF_VERSION) else edfio.read_edf
    return read_file(source, header_encoding="latin-1"), plain


def _count_records(path: str, content: "_Content", head: bytes) -> tuple[int, list[str]]:
    """Number of data records that hold the signal, and a note where the file does not end with them."""
    import edfio

    announced, signals = int(head[_RECORDS]), int(head[_SIGNALS])
    records = content.num_data_records if announced == -1 else announced
    counts = head[_HEADER_BYTES + _BEFORE_COUNTS * signals :]  # samples to a data record of each, with annotations
    samples = sum(int(counts[8 * i : 8 * (i + 1)]) for i in range(signals))
    width = 3 if isinstance(content, edfio.Bdf) else 2  # bytes of a sample
    left_over = os.path.getsize(path) - content.bytes_in_header_record - width * samples * records
    if records < 0 or left_over < 0:
        raise InputError(
            f"{path}: announces {announced} data records, but {os.path.getsize(path)} bytes hold "
            f"{content.num_data_records}; copy the file again"
        )
    if content.bytes_in_header_record != _HEADER_BYTES * (1 + signals):
        raise InputError(f"{path}: announces a header of {content.bytes_in_header_record} bytes, against its signals")
    if content.reserved[1:].startswith("DF+D") and not content.is_continuous:
        raise InputError(f"{path}: an interrupted recording (EDF+D with gaps); split it into continuous ones")
    notes = [f"number of data records not stated; {records} are there"] if announced == -1 else []
    if left_over:
        notes.append(f"{left_over} bytes after the last data record were not read")
    return records, notes


def _describe_signals(content: "_Content", signals: "dict[str, _Signal]") -> list[str]:
    left_out = [signal.label.strip(_PADDING.decode()) for signal in content.signals if signal not in signals.values()]
    notes = [f"signals left out: {', '.join(left_out)}"] if left_out else []
    steps = [signal.physical_max - signal.physical_min for signal in signals.values()]
    return [*notes, *describe_negative(signals, steps)]


def _select_leads(path: str, content: "_Content") -> "dict[str, _Signal]":
    found: dict[str, _Signal] = {}
    signals: tuple[_Signal, ...] = content.signals
    for lead, signal in zip(canonical_leads(signal.label for signal in signals), signals, strict=True):
        if lead in found:
            raise InputError(f"{path}: duplicate lead {lead}; each lead may occur once")
        if lead in LEADS:
            found[lead] = signal
    if not found:
        labels = ", ".join(signal.label.strip(_PADDING.decode()) for signal in content.signals) or "none"
        raise InputError(f"{path}: no signal is labelled as one of the leads {', '.join(LEADS)}; labels: {labels}")
    rates = {lead: signal.sampling_frequency for lead, signal in found.items()}
    if len(set(rates.values())) > 1:
        raise InputError(f"{path}: leads at different sampling rates, {rates}; resample them to one")
    return found


def _calibrate(path: str, lead: str, signal: "_Signal") -> np.ndarray:
    """Millivolts of one lead, `[samples]`; the library alone would return raw values without a valid range."""
    factor = units.find_millivolts(signal.physical_dimension)
    if factor is None:
        raise InputError(f"{path}: lead {lead} is in {signal.physical_dimension!r}; known: mV, uV, nV, V")
    low, high = signal.physical_min, signal.physical_max
    if signal.digital_min >= signal.digital_max or low == high or not np.isfinite([low, high]).all():
        raise InputError(
            f"{path}: lead {lead} has no calibration: physical {low} to {high}, "
            f"digital {signal.digital_min} to {signal.digital_max}"
        )
    return signal.data * factor


def _find_end(signals: list[np.ndarray]) -> int:
    """Number of samples before the filling, given where each lead, `[samples]`, is above its lowest digital value."""
    length = len(signals[0])
    if any(signal[-1] for signal in signals):
        return length
    recorded = np.flatnonzero(np.any(signals, axis=0))
    end = int(recorded[-1]) + 1 if recorded.size else 0
    return end if end < length - 1 else length  # a single sample may be a peak
