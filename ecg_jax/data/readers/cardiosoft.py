"""GE CardioSoft XML (`CardiologyXML`): the strip of a resting ECG, not the median beats.

`StripData` states the rate and one resolution for all leads, in microvolts per step; each lead's samples are text.
Source: the elements as GE's CardioSoft XML guide (2062898-001) and the files of UK Biobank's field 20205 name them.
"""

import os
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is CardioSoft XML, by its first element."""
    del path
    return xml_document.root_name(head) == "CardiologyXML"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the strip of a resting ECG.

    Args:
        path: The XML file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged, holds no such strip, or does not state unit or rate.
    """
    path = os.fspath(path)
    strips = [strip for strip in xml_document.parse(path, "CardiologyXML").iter("StripData") if _find_leads(strip)]
    if len(strips) != 1:
        raise InputError(f"{path}: {len(strips)} strips with <WaveformData>; expected one, as of a resting ECG")
    return groups.to_recording(path, id or os.path.basename(path), _read_strip(path, strips[0]))


def _find_leads(strip: Element) -> list[Element]:
    return strip.findall("WaveformData")


def _read_strip(path: str, strip: Element) -> groups.Group:
    elements = _find_leads(strip)
    names = [groups.lead(path, element.get("lead", "")) for element in elements]
    columns = [
        xml_document.numbers(path, f"lead {name}", each.text) for name, each in zip(names, elements, strict=True)
    ]
    samples = groups.stack(path, columns)
    announced = xml_document.field(strip, "ChannelSampleCountTotal")
    if announced and announced != str(len(samples)):
        raise InputError(f"{path}: {len(samples)} samples, not {announced} as it states; the file is damaged")
    count = xml_document.field(strip, "NumberOfLeads")
    notes = [f"NumberOfLeads is {count}, {len(names)} leads were found"] if count not in ("", str(len(names))) else []
    return groups.Group(
        samples=samples,
        leads=tuple(names),
        millivolts_per_unit=np.full(len(names), _read_resolution(path, strip)),
        sampling_rate=xml_document.number(path, "SampleRate", xml_document.required(path, strip, "SampleRate")),
        notes=tuple(notes),
    )


def _read_resolution(path: str, strip: Element) -> float:
    """What one step is in mV."""
    step = xml_document.number(path, "Resolution", xml_document.required(path, strip, "Resolution"))
    if step <= 0:
        raise InputError(f"{path}: Resolution is {step:g}; expected a positive number")
    return step * groups.millivolts(path, "Resolution", next(strip.iter("Resolution")).get("units", ""))
