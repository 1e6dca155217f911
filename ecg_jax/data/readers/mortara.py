"""Mortara ELI XML (`<ECG>` with `<CHANNEL>`), through the library ecgdatakit: the rhythm, not the typical cycle."""

import os

from ecg_jax.data.readers import groups, library_record, xml_document
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_MOST_CHANNELS = 256


def matches(path: str, head: bytes) -> bool:
    """Says whether a file's first element is the format's."""
    del path
    return xml_document.root_name(head) == "ECG"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm's channels.

    Raises:
        InputError: when the file is damaged, has no channels, or states no voltage.
    """
    path = os.fspath(path)
    with library_record.guard(path, "Mortara XML"):
        from ecgdatakit.parsing.parsers.mortara_el250 import MortaraEL250Parser

        channels = xml_document.parse(path, "ECG").findall("CHANNEL")
        if not 0 < len(channels) <= _MOST_CHANNELS:  # the library's work grows with their square
            raise InputError(f"{path}: <ECG> has {len(channels)} <CHANNEL>; Mortara's XML has 1 to {_MOST_CHANNELS}")
        record, notes = library_record.parse(path, MortaraEL250Parser())
        # The library rounds the rate to whole Hz.
        rates = [xml_document.number(path, "SAMPLE_FREQ", channel.get("SAMPLE_FREQ")) for channel in channels]
        return groups.to_recording(
            path, id or os.path.basename(path), library_record.to_group(path, record.leads, rates, notes)
        )
