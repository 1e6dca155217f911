"""GE MUSE XML (`RestingECG`): the rhythm waveform, not the median beat.

Eight leads are stored (I, II, V1-V6); III, aVR, aVL and aVF follow from Einthoven and Goldberger and are derived here,
where the file does not store them. Samples are base64 of little-endian 16-bit integers; a step is
`LeadAmplitudeUnitsPerBit` of `LeadAmplitudeUnits` (4.88 MICROVOLTS as a rule, 5 from some carts); the rate is
SampleBase x 10^SampleExponent Hz. `LeadDataCRC32` is the CRC-32 of the decoded bytes.

Source: the elements as GE's MUSE XML developer's guide names them.
"""

import dataclasses
import zlib
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.data.readers.xml_document import field, required
from ecg_jax.errors import InputError
from ecg_jax.recording import LIMB_LEADS, Recording

_ROOT = "RestingECG"
_STEP, _STEP_UNIT = "LeadAmplitudeUnitsPerBit", "LeadAmplitudeUnits"
matches = xml_document.match_root(_ROOT)


@reader("MUSE XML", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the rhythm waveform and derives the limb leads that are not stored.

    A lead that the device reports as off (`LeadOff`) is invalid, and so is what is derived from it.

    Raises:
        InputError: when the file is damaged, has no rhythm, or does not state unit or rate.
    """
    waveforms = xml_document.parse(path, _ROOT).findall("Waveform")
    types = [field(waveform, "WaveformType") for waveform in waveforms]
    rhythms = xml_document.choose_rhythms(path, "waveforms", waveforms, types)
    group = groups.choose(path, [_read_waveform(path, waveform) for waveform in rhythms])
    return groups.to_recording(path, id, _derive(group))


def _read_waveform(path: str, waveform: Element) -> groups.Group:
    elements = waveform.findall("LeadData")
    if not elements:
        raise InputError(f"{path}: the rhythm waveform has no <LeadData>, so no samples")
    leads = [groups.lead(path, required(path, element, "LeadID")) for element in elements]
    columns = [_read_lead(path, name, element) for name, element in zip(leads, elements, strict=True)]
    stated = [(required(path, element, _STEP), required(path, element, _STEP_UNIT)) for element in elements]
    steps = [
        xml_document.step(path, f"{_STEP} of lead {name}", *each) for name, each in zip(leads, stated, strict=True)
    ]
    failing = [name for name, (*_, fails) in zip(leads, columns, strict=True) if fails]
    doubt = f"checksum of {', '.join(failing)} differs from the file's: samples were changed after it"
    return groups.Group(
        samples=groups.stack(path, [samples for samples, *_ in columns]),
        leads=tuple(leads),
        millivolts_per_unit=np.array(steps),
        sampling_rate=_read_rate(path, waveform),
        start=field(waveform, "WaveformStartTime") or None,
        notes=(
            *([doubt] if failing else []),
            *groups.describe_leads(leads, [notes for _, notes, _ in columns]),
            *xml_document.describe_count(waveform, "NumberofLeads", len(leads)),
            *_compare_steps(leads, steps),
        ),
        contradictions=(*([doubt] if 2 * len(failing) > len(leads) else []), *_compare_offsets(leads, elements)),
    )


def _compare_steps(leads: list[str], steps: list[float]) -> list[str]:
    """A note where leads differ in their step: a cart digitizes all alike, and limb leads are derived from two."""
    stated = [f"{1000 * step:g}" for step in steps]
    listed = ", ".join(map(" ".join, zip(leads, stated, strict=True)))
    return [f"leads differ in microvolts per step: {listed}"] if len({*stated}) > 1 else []


def _compare_offsets(leads: list[str], elements: list[Element]) -> list[str]:
    """A contradiction where leads I and II, from which others are derived, were recorded at different times."""
    offsets = {name: field(element, "LeadTimeOffset") for name, element in zip(leads, elements, strict=True)}
    first, second = (offsets.get(name) or "0" for name in ("I", "II"))
    if first == second or set(LIMB_LEADS) <= set(leads):
        return []
    return [f"leads I and II begin at {first} and {second}: what is derived from both is no lead"]


def _read_lead(path: str, name: str, lead: Element) -> tuple[np.ndarray, list[str], bool]:
    """`[samples]` float64 in steps, notes, and whether the samples fail their checksum."""
    size = field(lead, "LeadSampleSize") or "2"
    if size != "2":
        raise InputError(f"{path}: LeadSampleSize of lead {name} is {size!r}; only 2 bytes are supported")
    data = xml_document.decode_base64(path, f"WaveFormData of lead {name}", lead.findtext("WaveFormData"))
    if len(data) % 2 or not data:
        raise InputError(f"{path}: lead {name} has {len(data)} bytes; expected two for each sample, so it is damaged")
    xml_document.check_count(path, name, len(data) // 2, field(lead, "LeadSampleCountTotal"))
    samples, notes = np.frombuffer(data, "<i2").astype(np.float64), []
    for quantity in ("LeadTimeOffset", "LeadOffsetFirstSample", "FirstSampleBaseline"):
        if (value := field(lead, quantity) or "0") != "0":
            notes.append(f"{quantity} is {value}, which was not applied")
    if field(lead, "LeadOff").upper() == "TRUE":
        samples[:] = np.nan
        notes.append("off, as the device says")
    stated = field(lead, "LeadDataCRC32") or "0"  # 0 is of a writer that computes none
    return samples, notes, stated not in ("0", str(zlib.crc32(data)))


def _read_rate(path: str, waveform: Element) -> float:
    base = xml_document.number(path, "SampleBase", required(path, waveform, "SampleBase"))
    exponent = xml_document.number(path, "SampleExponent", field(waveform, "SampleExponent") or "0")
    if abs(exponent) > 9:
        raise InputError(f"{path}: SampleExponent is {exponent:g}; expected a small power of ten")
    return base * 10**exponent


def _derive(group: groups.Group) -> groups.Group:
    """Appends the limb leads that are not stored, in steps of lead I."""
    absent = [lead for lead in LIMB_LEADS if lead not in group.leads]
    if not absent or "I" in absent or "II" in absent:
        return group
    one, two = group.leads.index("I"), group.leads.index("II")
    step = group.steps[one]
    basis = group.samples[:, [one, two]] * [1.0, group.steps[two] / step]
    return dataclasses.replace(
        group,
        samples=np.hstack([group.samples, basis @ np.array([LIMB_LEADS[lead] for lead in absent]).T]),
        leads=(*group.leads, *absent),
        millivolts_per_unit=np.append(group.steps, np.full(len(absent), step)),
        notes=(*group.notes, f"derived from I and II: {', '.join(absent)}"),
    )
