"""One channel of a DICOM waveform: which lead it is, its voltage, its state.

Source: DICOM PS3.3 C.10.9 and PS3.16 CID 3001. A value is sample x sensitivity x correction
factor + baseline, the baseline in the sensitivity's unit. Leads are coded in two schemes that
share their numbers, 2:n (MDC) and 5.6.3-9-n (SCP-ECG), or by name.
"""

import re

import numpy as np
from pydicom.dataset import Dataset

from ecg_jax.data.readers import groups
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead

_NOT_A_SIGNAL = {"DISCONNECTED", "INVALID", "TEST DATA"}


def lead_name(path: str, channel: Dataset, number: int) -> str:
    """Returns the lead that the channel's source says; code and meaning must not contradict each other."""
    source = (channel.get("ChannelSourceSequence") or [Dataset()])[0]
    code, meaning = str(source.get("CodeValue") or "").strip(), str(source.get("CodeMeaning") or "").strip()
    by_code, by_meaning = canonical_lead(code), canonical_lead(re.sub(r"\s*[(,].*", "", meaning, flags=re.DOTALL))
    standard = {name for name in (by_code, by_meaning) if name in LEADS}
    if len(standard) > 1:
        raise InputError(f"{path}: channel {number} is {code[:40]!r} by code, {meaning[:40]!r} by meaning; they differ")
    stated = standard.pop() if standard else by_meaning or str(channel.get("ChannelLabel") or "").strip() or code
    return groups.lead(path, stated)


def read_scale(path: str, lead: str, channel: Dataset) -> tuple[float, float]:
    """Returns what one step is in mV, and what sample 0 is in mV."""
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


def describe(channel: Dataset) -> list[str]:
    """What the file says of a channel beside its samples."""
    notes = [f"state {state[:40]!r}" for state in _states(channel) if state != "OK"]
    if channel.get("ChannelDerivationDescription"):
        notes.append("derived by whoever made the file")
    for field in ("ChannelTimeSkew", "ChannelSampleSkew", "ChannelOffset"):
        if float(channel.get(field) or 0):
            notes.append(f"{field} is {channel.get(field)}, which was not applied")
    return notes


def is_signal(channel: Dataset) -> bool:
    """False when the file says that the channel was disconnected, invalid or fed with test data."""
    return not _NOT_A_SIGNAL & set(_states(channel))


def _states(channel: Dataset) -> list[str]:
    value = channel.get("ChannelStatus") or ()
    return [value] if isinstance(value, str) else [str(state) for state in value]
