"""GE CardioSoft XML (`CardiologyXML`): the strip of a resting ECG, not the median beats.

`StripData` states the rate and one resolution for all leads, in microvolts per step; each lead's samples are text.
Source: the elements as GE's CardioSoft XML guide (2062898-001) and the files of UK Biobank's field 20205 name them.
"""

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_ROOT = "CardiologyXML"
matches = xml_document.match_root(_ROOT)


@reader("CardioSoft XML", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the strip; raises `InputError` when there is not exactly one, or unit or rate are not stated."""
    strips = [strip for strip in xml_document.parse(path, _ROOT).iter("StripData") if strip.findall("WaveformData")]
    if len(strips) != 1:
        raise InputError(f"{path}: {len(strips)} strips with <WaveformData>; expected one, as of a resting ECG")
    strip = strips[0]
    announced = xml_document.field(strip, "ChannelSampleCountTotal")
    elements = strip.findall("WaveformData")
    leads = tuple(groups.lead(path, element.get("lead", "")) for element in elements)
    columns = [xml_document.samples(path, lead, e.text, announced) for lead, e in zip(leads, elements, strict=True)]
    resolution = xml_document.required(path, strip, "Resolution")
    unit = next(strip.iter("Resolution")).get("units", "")
    group = groups.Group(
        samples=groups.stack(path, columns),
        leads=leads,
        millivolts_per_unit=xml_document.step(path, "Resolution", resolution, unit),
        sampling_rate=xml_document.number(path, "SampleRate", xml_document.required(path, strip, "SampleRate")),
        notes=tuple(xml_document.describe_count(strip, "NumberOfLeads", len(leads))),
    )
    return groups.to_recording(path, id, group)
