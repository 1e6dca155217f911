"""EDF and EDF+ (https://www.edfplus.info/specs/edf.html), through the library edfio.

Leads go by label (`ECG I`, `EKG V1`, `I`, `ECG aVR`); signals that are none of the twelve
leads, and annotations, are left out. Traps: the library goes on where a file is truncated,
has no calibration (it returns raw values), or is interrupted (EDF+D); here each is refused.
"""

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_lead, create_recording

if TYPE_CHECKING:
    import edfio

_MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6, "v": 1e3}
_VERSION = b"0       "
_HEADER_BYTES = 256  # of the file, and again for each signal
_RECORDS, _SIGNALS = slice(236, 244), slice(252, 256)
_PREFIX = re.compile(r"^(?:(?:ECG|EKG)[ _:-]*)?(?:LEAD[ _:-]*)?", re.IGNORECASE)
_DAMAGE = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, MemoryError),
    *(UnboundLocalError, RuntimeError),
)


def matches(path: str, head: bytes) -> bool:
    """Tells the version and the number of signals, both as padded text."""
    del path
    return head.startswith(_VERSION) and head[_SIGNALS].strip().isdigit()


def read(path: str, id: str | None = None) -> Recording:
    """Reads the ECG leads of a file.

    Raises:
        InputError: when the file is damaged, truncated or interrupted, has none of the twelve
            leads, or its leads differ in rate or have no voltage.
    """
    import edfio

    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            announced = int(file.read(_HEADER_BYTES)[_RECORDS])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is checked below
            content = edfio.read_edf(Path(path), header_encoding="latin-1")
            _check_length(path, content, announced)
            signals = _select_leads(path, content)
            values = np.stack([_calibrate(path, lead, signal) for lead, signal in signals.items()], axis=1)
            rates = {signal.sampling_frequency for signal in signals.values()}
            left_out = [signal.label for signal in content.signals if signal not in signals.values()]
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: not a readable EDF file ({reason[:300]})") from error
    notes = [f"signals left out: {', '.join(left_out)}"] if left_out else []
    if announced == -1:
        notes.append(f"number of data records not stated; {content.num_data_records} are there")
    return create_recording(
        values,
        leads=signals,
        sampling_rate=rates.pop(),
        id=id or os.path.basename(path),
        duration=content.num_data_records * content.data_record_duration,
        notes=notes,
    )


def _check_length(path: str, content: "edfio.Edf", announced: int) -> None:
    samples = sum(signal.samples_per_data_record for signal in content._signals)  # noqa: SLF001 - with annotations
    expected = content.bytes_in_header_record + 2 * samples * content.num_data_records
    if announced not in (-1, content.num_data_records) or os.path.getsize(path) != expected:
        raise InputError(
            f"{path}: announces {announced} data records, but {os.path.getsize(path)} bytes hold "
            f"{content.num_data_records}; copy the file again"
        )
    if content.bytes_in_header_record != _HEADER_BYTES * (1 + len(content._signals)):  # noqa: SLF001
        raise InputError(f"{path}: announces a header of {content.bytes_in_header_record} bytes, against its signals")
    if content.reserved.startswith("EDF+D") and not content.is_continuous:
        raise InputError(f"{path}: an interrupted recording (EDF+D with gaps); split it into continuous ones")


def _select_leads(path: str, content: "edfio.Edf") -> dict[str, "edfio.EdfSignal"]:
    found: dict[str, edfio.EdfSignal] = {}
    for signal in content.signals:
        lead = canonical_lead(_PREFIX.sub("", signal.label.strip()))
        if lead in found:
            raise InputError(f"{path}: duplicate lead {lead}; each lead may stand once")
        if lead in LEADS:
            found[lead] = signal
    if not found:
        labels = ", ".join(signal.label for signal in content.signals) or "none"
        raise InputError(f"{path}: no signal is labelled as one of the leads {', '.join(LEADS)}; labels: {labels}")
    rates = {lead: signal.sampling_frequency for lead, signal in found.items()}
    if len(set(rates.values())) > 1:
        raise InputError(f"{path}: leads at different sampling rates, {rates}; resample them to one")
    return found


def _calibrate(path: str, lead: str, signal: "edfio.EdfSignal") -> np.ndarray:
    """Millivolts of one lead, `[samples]`; the library alone would return raw values without a valid range."""
    unit = signal.physical_dimension.strip().lower()
    if unit not in _MILLIVOLTS:
        raise InputError(f"{path}: lead {lead} is in {signal.physical_dimension!r}; known: mV, uV, nV, V")
    low, high = signal.physical_min, signal.physical_max
    if signal.digital_min >= signal.digital_max or low == high or not np.isfinite([low, high]).all():
        raise InputError(
            f"{path}: lead {lead} has no calibration: physical {low} to {high}, "
            f"digital {signal.digital_min} to {signal.digital_max}"
        )
    return signal.data * _MILLIVOLTS[unit]
