"""Schiller SEMA XML (`SchillerEDI`): the rhythm, not the averaged beats.

Each `wavedata` states its rate and, in `yres`, what a step is; each channel's samples are text with commas.
Source: the elements as public readers of such files name them (`org.cvrgrid.schiller` of the CardioVascular
Research Grid, Apache-2.0); Schiller publishes no description.
"""

import os
from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_ROOT = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"
_RHYTHMS = ("ECG_RHYTHM", "ECG_RHYTHMS")
_TEXT = "COMMASEPARATE"


def matches(path: str, head: bytes) -> bool:
    """Says whether a file is Schiller XML, by its first element."""
    del path
    return xml_document.root_name(head) == _ROOT


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm.

    Args:
        path: The XML file.
        id: Name for messages and results; the file's name if None.

    Raises:
        InputError: when the file is damaged, has no rhythm, or does not state unit or rate.
    """
    path = os.fspath(path)
    waves = [*xml_document.parse(path, _ROOT).iter("wavedata")]
    types = [xml_document.field(wave, "type") for wave in waves]
    rhythms = [wave for wave, name in zip(waves, types, strict=True) if name.upper() in _RHYTHMS]
    if not rhythms:
        raise InputError(f"{path}: wavedata of type {', '.join(types)[:80] or 'none'}; expected {_RHYTHMS[1]}")
    group = groups.choose(path, [_read_wave(path, wave) for wave in rhythms])
    return groups.to_recording(path, id or os.path.basename(path), group)


def _read_wave(path: str, wave: Element) -> groups.Group:
    channels = wave.findall("channel")
    if not channels:
        raise InputError(f"{path}: the rhythm has no <channel>, so no samples; export the ECG with its waveforms")
    names = [groups.lead(path, xml_document.required(path, channel, "name")) for channel in channels]
    columns = [_read_channel(path, *each) for each in zip(names, channels, strict=True)]
    step, notes = _read_step(path, wave)
    return groups.Group(
        samples=groups.stack(path, columns),
        leads=tuple(names),
        millivolts_per_unit=np.full(len(names), step),
        sampling_rate=_read_rate(path, wave),
        notes=tuple(notes),
    )


def _read_channel(path: str, name: str, channel: Element) -> np.ndarray:
    kind = xml_document.field(channel, "datastype").upper() or _TEXT
    if kind != _TEXT:
        raise InputError(f"{path}: samples of lead {name} are {kind[:40]}; only {_TEXT} is known")
    samples = xml_document.numbers(path, f"data of lead {name}", channel.findtext("data"))
    announced = xml_document.field(channel, "samplecount")
    if announced and announced != str(len(samples)):
        raise InputError(f"{path}: lead {name} has {len(samples)} samples, not {announced}; the file is damaged")
    return samples


def _read_step(path: str, wave: Element) -> tuple[float, list[str]]:
    """Returns what one step is in mV, and a note where its unit is not stated."""
    stated = _find_text(wave, "yres", "unitperbit", "value")
    step = xml_document.number(path, "resolution yres", stated)
    if step <= 0:
        raise InputError(f"{path}: resolution yres is {step:g}; expected a positive number")
    unit = _find_text(wave, "yres", "units", "unit")
    if unit in ("", stated):
        return step * 1e-3, ["the unit of yres is not stated; microvolts per step, as in other files of this format"]
    return step * groups.millivolts(path, "resolution yres", unit), []


def _read_rate(path: str, wave: Element) -> float:
    exponent = _find_text(wave, "samplerate", "exponent", default="1")
    if exponent not in ("0", "1"):  # files with 500 Hz state 1; no description says what another one means
        raise InputError(f"{path}: exponent of samplerate is {exponent[:40]!r}; only 0 and 1 are known")
    return xml_document.number(path, "samplerate", _find_text(wave, "samplerate", "value"))


def _find_text(wave: Element, quantity: str, *names: str, default: str | None = None) -> str:
    """The first of the children of a resolution's quantity that is there; else the default, or its own text."""
    element = wave.find(f"resolution/{quantity}")
    if element is None:
        return default or ""
    found = [text for name in names if (text := xml_document.field(element, name))]
    return (*found, " ".join((element.text or "").split()) if default is None else default)[0]
