"""Schiller SEMA XML (`SchillerEDI`): the rhythm, not the averaged beats.

Each `wavedata` states its rate and, in `yres`, what a step is; each channel's samples are text with commas. Source: the
elements as public readers of such files name them (`org.cvrgrid.schiller` of the CardioVascular Research Grid,
Apache-2.0); Schiller publishes no description.
"""

from xml.etree.ElementTree import Element

import numpy as np

from ecg_jax.data.readers import groups, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_ROOT = "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"
_TEXT = "COMMASEPARATE"
matches = xml_document.match_root(_ROOT)


@reader("Schiller XML", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the rhythm; raises `InputError` when there is none, or unit or rate are not stated."""
    waves = [*xml_document.parse(path, _ROOT).iter("wavedata")]
    types = [xml_document.field(wave, "type") for wave in waves]
    rhythms = xml_document.choose_rhythms(path, "wavedata", waves, types)
    return groups.to_recording(path, id, *(_read_wave(path, wave) for wave in rhythms))


def _read_wave(path: str, wave: Element) -> groups.Group:
    channels = wave.findall("channel")
    if not channels:
        raise InputError(f"{path}: the rhythm has no <channel>, so no samples; export the ECG with its waveforms")
    leads = [groups.lead(path, xml_document.required(path, channel, "name")) for channel in channels]
    step, notes = _read_step(path, wave)
    return groups.Group(
        samples=groups.stack(path, [_read_channel(path, *each) for each in zip(leads, channels, strict=True)]),
        leads=tuple(leads),
        millivolts_per_unit=step,
        sampling_rate=_read_rate(path, wave),
        notes=notes,
    )


def _read_channel(path: str, lead: str, channel: Element) -> np.ndarray:
    kind = xml_document.field(channel, "datastype").upper() or _TEXT
    if kind != _TEXT:
        raise InputError(f"{path}: samples of lead {lead} are {kind[:40]}; only {_TEXT} is supported")
    return xml_document.samples(path, lead, channel.findtext("data"), xml_document.field(channel, "samplecount"))


def _read_step(path: str, wave: Element) -> tuple[float, tuple[str, ...]]:
    """The voltage of one step in mV, and a note where its unit is not stated."""
    stated, unit = _find_text(wave, "yres", "unitperbit", "value"), _find_text(wave, "yres", "units", "unit")
    is_known = unit not in ("", stated)
    step = xml_document.step(path, "resolution yres", stated, unit if is_known else "uV")
    note = "the unit of yres is not stated; microvolts per step, as in other files of this format"
    return step, () if is_known else (note,)


def _read_rate(path: str, wave: Element) -> float:
    exponent = _find_text(wave, "samplerate", "exponent", default="1")
    if exponent not in ("0", "1"):  # files with 500 Hz state 1; no description says what another one means
        raise InputError(f"{path}: exponent of samplerate is {exponent[:40]!r}; only 0 and 1 are supported")
    return xml_document.number(path, "samplerate", _find_text(wave, "samplerate", "value"))


def _find_text(wave: Element, quantity: str, *names: str, default: str | None = None) -> str:
    """The first non-empty child of a quantity of the resolution; else the default, or the quantity's own text."""
    element = wave.find(f"resolution/{quantity}")
    if element is None:
        return default or ""
    found = [text for name in names if (text := xml_document.field(element, name))]
    return (*found, " ".join((element.text or "").split()) if default is None else default)[0]
