"""Philips Sierra ECG XML, versions 1.03 to 1.04.02: the parsed waveforms, not the representative beats.

Traps: leads III, aVR, aVL and aVF are stored as what is left of them after prediction from I and II, where they are
compressed (XLI); the unit, microvolts per step, goes by several names; version 1.03 does not name its leads; and a
recording ends with a calibration pulse of 1 mV in every lead, which is no ECG and contradicts Einthoven's law: its
samples are marked invalid.
"""

import dataclasses
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xli, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, Recording

_ROOT = "restingecgdata"
_MOST_SAMPLES = 10**7  # per lead: some hours
_NUMBERS = {  # quantity -> the names under which versions state it; some files state it twice
    "sampling rate": ("samplespersecond", "samplingrate"),
    "resolution": ("resolution", "signalresolution"),
    "durationperchannel": ("durationperchannel",),
}
_INTEGERS = {  # names -> the only value supported: signed 16-bit integers around 0
    ("bitspersample", "nbitspersample"): "16",
    ("signaloffset",): "0",
    ("signalsigned",): "True",
}
_STANDARD_ACQUISITION = ("STD-12", "10-WIRE")
matches = xml_document.match_root(_ROOT)


@dataclasses.dataclass(frozen=True)
class _Document:
    """The two elements that describe the waveforms; either may state a quantity, or both."""

    path: str
    waveforms: Element
    signal: Element

    def list_stated(self, *names: str) -> list[str]:
        """What attributes of the waveforms and children of the signal's description state under these names."""
        texts = (text for name in names for text in (self.waveforms.get(name), self.signal.findtext(name)))
        return [text.strip() for text in texts if text and text.strip()]

    def read_values(self, field: str) -> list[float]:
        """The different values of one of `_NUMBERS`, each once: more than one is a contradiction."""
        stated = self.list_stated(*_NUMBERS[field]) or [""]
        return [*dict.fromkeys(xml_document.number(self.path, field, text, positive=True) for text in stated)]


@reader("Philips Sierra XML", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the waveforms; raises `InputError` when they are damaged or of an unknown encoding."""
    tree = xml_document.parse(path, _ROOT)
    waveforms, signal = (next(tree.iter(name), None) for name in ("parsedwaveforms", "signalcharacteristics"))
    if waveforms is None or signal is None:
        missing = "parsedwaveforms" if waveforms is None else "signalcharacteristics"
        raise InputError(f"{path}: no <{missing}>, so no samples; export the ECG with its waveforms")
    document = _Document(path, waveforms, signal)
    values = {field: document.read_values(field) for field in _NUMBERS}
    rate, resolution, duration = (found[0] for found in values.values())
    duration /= 1000
    if not 1 <= duration * rate <= _MOST_SAMPLES:
        raise InputError(f"{path}: {duration:g} s at {rate:g} Hz; expected 1 to {_MOST_SAMPLES} samples")
    for names, supported in _INTEGERS.items():
        for stated in document.list_stated(*names):
            if stated.lower() != supported.lower():
                raise InputError(f"{path}: {names[0]} is {stated[:40]!r}; only {supported} is supported")
    leads = _read_leads(document)
    samples = _read_samples(document, leads, round(duration * rate))
    pulse = _find_pulse(samples)
    length = len(samples) - pulse  # a damaged XLI chunk drifts until its end: a missing pulse is noted
    group = groups.Group(
        samples=samples,
        leads=leads,
        millivolts_per_unit=resolution * 1e-3,
        sampling_rate=rate,
        notes=(f"the last {length} samples are a calibration pulse" if length else "no calibration pulse at the end",),
        contradictions=tuple(
            f"the file states {' and '.join(f'{value:g}' for value in found)} for its {field}"
            for field, found in values.items()
            if len(found) > 1
        ),
    )
    return groups.to_recording(path, id, group, valid=np.arange(len(samples)) < pulse, duration=duration)


def _read_leads(document: _Document) -> tuple[str, ...]:
    path = document.path
    count = next(iter(document.list_stated("numberofleads", "numberchannelsallocated")), "")
    names = tuple(groups.lead(path, name) for name in (document.waveforms.get("leadlabels") or "").split())
    acquisition = xml_document.field(document.signal, "acquisitiontype")
    if not names and acquisition in _STANDARD_ACQUISITION:
        names = LEADS
    if not names:
        raise InputError(f"{path}: no lead labels, and acquisition type {acquisition[:40]!r} does not imply them")
    if not count.isdecimal() or int(count[:9]) not in range(1, len(names) + 1):
        raise InputError(f"{path}: number of leads is {count[:40]!r} with {len(names)} labels; they must agree")
    return names[: int(count)]


def _read_samples(document: _Document, leads: tuple[str, ...], samples: int) -> np.ndarray:
    """Returns `[samples, leads]` in steps."""
    path, waveforms = document.path, document.waveforms
    encoding = waveforms.get("dataencoding", "")
    compression = waveforms.get("compression") or waveforms.get("compressmethod") or "Uncompressed"
    if waveforms.get("compressflag", "True").lower() == "false":
        compression = "Uncompressed"
    if encoding == "Plain" and compression == "Uncompressed":
        return _split(path, xml_document.numbers(path, "parsedwaveforms", waveforms.text), leads, samples)
    if encoding != "Base64" or compression not in ("XLI", "Uncompressed"):
        raise InputError(
            f"{path}: waveforms {encoding[:20]!r}, {compression[:20]!r}; known: Base64 with XLI, Base64, Plain"
        )
    data = xml_document.decode_base64(path, "parsedwaveforms", waveforms.text)
    if compression == "Uncompressed":
        return _split(path, np.frombuffer(data[: len(data) // 2 * 2], "<i2"), leads, samples)
    try:
        stored = xli.decode(data, len(leads), samples)
    except ValueError as error:
        raise InputError(f"{path}: parsedwaveforms cannot be unpacked ({error}); the file is damaged") from error
    return _restore_limb_leads(path, stored.astype(np.int64), leads)


def _split(path: str, values: np.ndarray, leads: tuple[str, ...], samples: int) -> np.ndarray:
    if len(values) != len(leads) * samples:
        raise InputError(f"{path}: {len(values)} values; {len(leads)} leads of {samples} samples were announced")
    return values.reshape(len(leads), samples).T


def _restore_limb_leads(path: str, stored: np.ndarray, leads: tuple[str, ...]) -> np.ndarray:
    """Undoes the prediction of III, aVR, aVL and aVF; halves are rounded down, as the device does."""
    missing = [lead for lead in LIMB_LEADS if lead not in leads]
    if missing:
        raise InputError(f"{path}: no lead {', '.join(missing)}; XLI predicts limb leads from each other")
    one, two, three, right, left, foot = (leads.index(lead) for lead in LIMB_LEADS)
    whole = stored.copy()
    whole[:, three] = whole[:, two] - whole[:, one] - stored[:, three]
    whole[:, right] = -((whole[:, one] + whole[:, two]) // 2) - stored[:, right]
    whole[:, left] = (whole[:, one] - whole[:, three]) // 2 - stored[:, left]
    whole[:, foot] = (whole[:, two] + whole[:, three]) // 2 - stored[:, foot]
    return whole


def _find_pulse(samples: np.ndarray) -> int:
    """Where the calibration pulse begins: the last samples, the same in every lead and not all zero."""
    differs = np.flatnonzero(np.any(samples != samples[:, :1], axis=1))
    begin = int(differs[-1]) + 1 if differs.size else 0
    return begin if samples.shape[1] > 2 and begin > 0 and np.any(samples[begin:]) else len(samples)
