"""Philips Sierra ECG XML, versions 1.03 to 1.04.02: the parsed waveforms, not the representative beats.

Traps: leads III, aVR, aVL and aVF are stored as what is left of them after prediction from I
and II, where they are compressed (XLI); the unit, microvolts per step, goes by several names;
version 1.03 does not name its leads; and a recording ends with a calibration pulse of 1 mV in
every lead, which is no ECG and contradicts Einthoven's law: its samples are marked invalid.
"""

import os
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xli, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, LIMB_LEADS, Recording

LARGEST_COUNT = 10**7  # samples per lead: some hours
_NUMBERS = {  # what is a number -> the names under which versions state it, and some state it twice
    "sampling rate": ("samplespersecond", "samplingrate"),
    "resolution": ("resolution", "signalresolution"),
    "durationperchannel": ("durationperchannel",),
}
STANDARD_ACQUISITION = ("STD-12", "10-WIRE")


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is Philips Sierra XML, by its first element."""
    return xml_document.root_name(head) == "restingecgdata"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the waveforms.

    Args:
        path: The XML file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged or of an encoding that is not known.
    """
    path = os.fspath(path)
    tree = xml_document.parse(path, "restingecgdata")
    waveforms = next(tree.iter("parsedwaveforms"), None)
    signal = next(tree.iter("signalcharacteristics"), None)
    if waveforms is None or signal is None:
        missing = "parsedwaveforms" if waveforms is None else "signalcharacteristics"
        raise InputError(f"{path}: no <{missing}>, so no samples; export the ECG with its waveforms")
    values = {field: _read_positive(path, field, waveforms, signal, names) for field, names in _NUMBERS.items()}
    rate, resolution, duration = (found[0] for found in values.values())
    duration /= 1000
    if not 1 <= duration * rate <= LARGEST_COUNT:
        raise InputError(f"{path}: {duration:g} s at {rate:g} Hz; expected 1 to {LARGEST_COUNT} samples")
    _check_integers(path, waveforms, signal)
    leads = _lead_names(path, waveforms, signal)
    samples = _read_samples(path, waveforms, leads, round(duration * rate))
    pulse = _find_pulse(samples)
    group = groups.Group(
        samples=samples,
        leads=leads,
        millivolts_per_unit=np.full(len(leads), resolution * 1e-3),
        sampling_rate=rate,
        notes=(_describe_pulse(len(samples) - pulse),),
        contradictions=tuple(
            f"the file states {' and '.join(f'{value:g}' for value in found)} for its {field}"
            for field, found in values.items()
            if len(found) > 1
        ),
    )
    return groups.to_recording(
        path, id or os.path.basename(path), group, valid=np.arange(len(samples)) < pulse, duration=duration
    )


def _list_stated(waveforms: Element, signal: Element, *names: str) -> list[str]:
    """What attributes of the waveforms and children of the signal's description say under these names, in turn."""
    texts = (text for name in names for text in (waveforms.get(name), signal.findtext(name)))
    return [text.strip() for text in texts if text and text.strip()]


def _read_positive(path: str, field: str, waveforms: Element, signal: Element, names: tuple[str, ...]) -> list[float]:
    """The different values that the file states, each once: more than one is a contradiction."""
    stated: list[str | None] = [*_list_stated(waveforms, signal, *names)]
    values = [xml_document.number(path, field, text) for text in stated or [None]]
    for value in values:
        if value <= 0:
            raise InputError(f"{path}: {field} is {value:g}; expected a positive number")
    return list(dict.fromkeys(values))


def _check_integers(path: str, waveforms: Element, signal: Element) -> None:
    """Refuses samples that are not signed 16-bit integers around 0: no such file is known, so no such rule either."""
    for names, known in (
        (("bitspersample", "nbitspersample"), "16"),
        (("signaloffset",), "0"),
        (("signalsigned",), "True"),
    ):
        for stated in _list_stated(waveforms, signal, *names):
            if stated.lower() != known.lower():
                raise InputError(f"{path}: {names[0]} is {stated[:40]!r}; only {known} is known")


def _lead_names(path: str, waveforms: Element, signal: Element) -> tuple[str, ...]:
    count = next(iter(_list_stated(waveforms, signal, "numberofleads", "numberchannelsallocated")), None)
    names = tuple(groups.lead(path, name) for name in (waveforms.get("leadlabels") or "").split())
    acquisition = (signal.findtext("acquisitiontype") or "").strip()
    if not names and acquisition in STANDARD_ACQUISITION:
        names = LEADS
    if not names:
        raise InputError(f"{path}: no lead labels, and acquisition type {acquisition[:40]!r} does not imply them")
    if count is None or not count.isdecimal() or int(count[:9]) not in range(1, len(names) + 1):
        raise InputError(f"{path}: number of leads is {(count or '')[:40]!r} with {len(names)} labels; they must agree")
    return names[: int(count)]


def _read_samples(path: str, waveforms: Element, leads: tuple[str, ...], samples: int) -> np.ndarray:
    """Returns `[samples, leads]` in steps."""
    encoding = waveforms.get("dataencoding", "")
    compression = waveforms.get("compression") or waveforms.get("compressmethod") or "Uncompressed"
    if waveforms.get("compressflag", "True").lower() == "false":
        compression = "Uncompressed"
    if encoding == "Plain" and compression == "Uncompressed":
        return _split(path, _read_plain(path, waveforms), leads, samples)
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


def _read_plain(path: str, waveforms: Element) -> np.ndarray:
    try:
        return np.array((waveforms.text or "").split(), np.float64)
    except ValueError as error:
        raise InputError(f"{path}: parsedwaveforms are not all numbers; the file is damaged") from error


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


def _describe_pulse(length: int) -> str:
    """A damaged XLI chunk drifts until its end, so that a missing pulse is worth a note."""
    return f"the last {length} samples are a calibration pulse" if length else "no calibration pulse at the end"
