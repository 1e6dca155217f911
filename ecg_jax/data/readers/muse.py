"""GE MUSE XML (`RestingECG`): the rhythm waveform, not the median beat.

Eight leads are stored (I, II, V1-V6); III, aVR, aVL and aVF follow from Einthoven and
Goldberger and are derived here, where the file does not store them. Samples are base64 of
little-endian 16-bit integers; a step is `LeadAmplitudeUnitsPerBit` of `LeadAmplitudeUnits`
(4.88 MICROVOLTS as a rule, 5 from some carts); the rate is SampleBase x 10^SampleExponent Hz.
`LeadDataCRC32` is the CRC-32 of the decoded bytes.

Source: the elements as GE's MUSE XML developer's guide names them.
"""

import os
import zlib
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import LIMB_LEADS, Recording


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is GE MUSE XML, by its first element."""
    return xml_document.root_name(head) == "RestingECG"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm waveform and derives the limb leads that are not stored.

    A lead that the device calls off (`LeadOff`) is invalid, and so is what is derived from it.

    Args:
        path: The XML file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged, has no rhythm, or does not state unit or rate.
    """
    path = os.fspath(path)
    waveforms = xml_document.parse(path, "RestingECG").findall("Waveform")
    types = [xml_document.field(waveform, "WaveformType") for waveform in waveforms]
    rhythms = [waveform for waveform, name in zip(waveforms, types, strict=True) if name.lower() == "rhythm"]
    if not rhythms:
        raise InputError(f"{path}: waveforms of type {', '.join(types)[:80] or 'none'}; expected one of type Rhythm")
    group = _derive(groups.choose(path, [_read_waveform(path, waveform) for waveform in rhythms]))
    return groups.to_recording(path, id or os.path.basename(path), group)


def _read_waveform(path: str, waveform: Element) -> groups.Group:
    elements = waveform.findall("LeadData")
    if not elements:
        raise InputError(f"{path}: the rhythm waveform has no <LeadData>, so no samples")
    leads = [groups.lead(path, xml_document.required(path, element, "LeadID")) for element in elements]
    columns = [_read_lead(path, name, element) for name, element in zip(leads, elements, strict=True)]
    steps = [_read_step(path, name, element) for name, element in zip(leads, elements, strict=True)]
    failing = [name for name, (*_, fails) in zip(leads, columns, strict=True) if fails]
    doubt = f"checksum of {', '.join(failing)} differs from the file's: samples were changed after it"
    notes = [doubt] if failing else []
    notes += groups.describe_leads(leads, [notes for _, notes, _ in columns])
    announced = xml_document.field(waveform, "NumberofLeads")
    if announced and announced != str(len(leads)):
        notes.append(f"NumberofLeads is {announced}, {len(leads)} leads were found")
    notes += _compare_steps(leads, steps)
    return groups.Group(
        samples=groups.stack(path, [samples for samples, *_ in columns]),
        leads=tuple(leads),
        millivolts_per_unit=np.array(steps),
        sampling_rate=_read_rate(path, waveform),
        start=xml_document.field(waveform, "WaveformStartTime") or None,
        notes=tuple(notes),
        contradictions=(*((doubt,) if 2 * len(failing) > len(leads) else ()), *_compare_offsets(leads, elements)),
    )


def _compare_steps(leads: list[str], steps: list[float]) -> list[str]:
    """A note where leads differ in what a step is: a cart digitizes all alike, and limb leads are derived from two."""
    stated = [f"{1000 * step:g}" for step in steps]
    listed = ", ".join(f"{name} {step}" for name, step in zip(leads, stated, strict=True))
    return [f"leads differ in microvolts per step: {listed}"] if len({*stated}) > 1 else []


def _compare_offsets(leads: list[str], elements: list[Element]) -> tuple[str, ...]:
    """A contradiction where leads I and II, from which others are derived, were recorded at different times."""
    offsets = {
        name: xml_document.field(element, "LeadTimeOffset") or "0"
        for name, element in zip(leads, elements, strict=True)
    }
    first, second = (offsets.get(name, "0") for name in ("I", "II"))
    if first == second or set(LIMB_LEADS) <= set(leads):
        return ()
    return (f"leads I and II begin at {first} and {second}: what is derived from both is no lead",)


def _read_lead(path: str, name: str, lead: Element) -> tuple[np.ndarray, list[str], bool]:
    """Returns `[samples]` float64 in steps, notes, and whether the samples fail their checksum."""
    size = xml_document.field(lead, "LeadSampleSize") or "2"
    if size != "2":
        raise InputError(f"{path}: LeadSampleSize of lead {name} is {size!r}; only 2 bytes are known")
    data = xml_document.decode_base64(path, f"WaveFormData of lead {name}", lead.findtext("WaveFormData"))
    announced = xml_document.field(lead, "LeadSampleCountTotal")
    if len(data) % 2 or not data or (announced and announced != str(len(data) // 2)):
        stated = announced or "an even number"
        raise InputError(f"{path}: lead {name} has {len(data) / 2:g} samples, not {stated}; the file is damaged")
    samples, notes = np.frombuffer(data, "<i2").astype(np.float64), []
    for field in ("LeadTimeOffset", "LeadOffsetFirstSample", "FirstSampleBaseline"):
        value = xml_document.field(lead, field) or "0"
        if value != "0":
            notes.append(f"{field} is {value}, which was not applied")
    if xml_document.field(lead, "LeadOff").upper() == "TRUE":
        samples[:] = np.nan
        notes.append("off, as the device says")
    stated = xml_document.field(lead, "LeadDataCRC32") or "0"  # 0 is of a writer that computes none
    return samples, notes, stated not in ("0", str(zlib.crc32(data)))


def _read_step(path: str, name: str, lead: Element) -> float:
    """Returns what one step is in mV."""
    field = f"LeadAmplitudeUnitsPerBit of lead {name}"
    step = xml_document.number(path, field, xml_document.required(path, lead, "LeadAmplitudeUnitsPerBit"))
    if step <= 0:
        raise InputError(f"{path}: {field} is {step:g}; expected a positive number")
    unit = xml_document.required(path, lead, "LeadAmplitudeUnits")
    return step * groups.millivolts(path, f"lead {name}", unit)


def _read_rate(path: str, waveform: Element) -> float:
    base = xml_document.number(path, "SampleBase", xml_document.required(path, waveform, "SampleBase"))
    exponent = xml_document.number(path, "SampleExponent", xml_document.field(waveform, "SampleExponent") or "0")
    if abs(exponent) > 9:
        raise InputError(f"{path}: SampleExponent is {exponent:g}; expected a small power of ten")
    return base * 10**exponent


def _derive(group: groups.Group) -> groups.Group:
    """Appends the limb leads that are not stored, in steps of lead I."""
    absent = [lead for lead in LIMB_LEADS if lead not in group.leads]
    if not absent or "I" in absent or "II" in absent:
        return group
    one, two = group.leads.index("I"), group.leads.index("II")
    step = group.millivolts_per_unit[one]
    basis = group.samples[:, [one, two]] * [1.0, group.millivolts_per_unit[two] / step]
    return groups.Group(
        samples=np.hstack([group.samples, basis @ np.array([LIMB_LEADS[lead] for lead in absent]).T]),
        leads=(*group.leads, *absent),
        millivolts_per_unit=np.append(group.millivolts_per_unit, np.full(len(absent), step)),
        sampling_rate=group.sampling_rate,
        start=group.start,
        notes=(*group.notes, f"derived from I and II: {', '.join(absent)}"),
        contradictions=group.contradictions,
    )
