"""Mortara ELI XML (`<ECG>` with `<CHANNEL>`), through the library ecgdatakit: the rhythm, not the typical cycle."""

from ecg_jax.data.readers import library_record, xml_document
from ecg_jax.data.readers.reading import reader
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_MOST_CHANNELS = 256
matches = xml_document.match_root("ECG")


@reader("Mortara XML", xml_document.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the rhythm's channels; raises `InputError` when there is none, or no voltage is stated."""
    from ecgdatakit.parsing.parsers.mortara_el250 import MortaraEL250Parser

    channels = xml_document.parse(path, "ECG").findall("CHANNEL")
    if not 0 < len(channels) <= _MOST_CHANNELS:  # the library's work grows with their square
        raise InputError(f"{path}: <ECG> has {len(channels)} <CHANNEL>; Mortara's XML has 1 to {_MOST_CHANNELS}")
    record, notes = library_record.parse(path, MortaraEL250Parser())
    # The library rounds the rate to whole Hz.
    rates = [xml_document.number(path, "SAMPLE_FREQ", channel.get("SAMPLE_FREQ")) for channel in channels]
    return library_record.to_recording(path, id, record.leads, rates, notes)
