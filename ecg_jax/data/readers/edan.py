"""Edan Holter recordings: `patient.hea` with `ecgraw.dat`, or both in an `.arc`, through the library ecgdatakit.

Source: https://paulbourke.net/dataformats/edan/, which the library follows; there is no description by the vendor. What
a step is in volts is not known, so each lead is divided by its own standard deviation.
"""

import os

import numpy as np

from ecg_jax.data.readers import groups, library_record, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

HEADER, SIGNAL = "patient.hea", "ecgraw.dat"
_HOLTER = b"##NEUTRAL HOLTER RECORDING##"
_MOST_MARKERS = 16  # names of the header in an archive; the library looks behind each
_NOTE = "the file states no voltage; each lead was divided by its own standard deviation"


def matches(path: str, head: bytes) -> bool:
    """Tells an archive by the names in it, a header by its own name and its bytes; a WFDB header is text."""
    name = os.path.basename(path).lower()
    if name.endswith(".arc"):
        return head[4:].startswith(_HOLTER) or HEADER.encode() in head
    return name == HEADER and b"\0" in head[:64]


@reading.reader("Edan", library_record.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads all leads, as z-scores; raises `InputError` when the file is damaged or its signal file is missing."""
    from ecgdatakit.parsing.parsers.edan_arc import EDANARCHolterParser

    companion = os.path.join(os.path.dirname(path), SIGNAL)
    if os.path.isfile(companion) and (size := os.path.getsize(companion)) > library_record.LARGEST_FILE:
        raise InputError(f"{companion}: {size} bytes; at most {library_record.LARGEST_FILE}")
    if reading.read_bytes(path).count(HEADER.encode()) > _MOST_MARKERS:
        raise InputError(f"{path}: names {HEADER} more than {_MOST_MARKERS} times; it is not an archive of one ECG")
    record, notes = library_record.parse(path, EDANARCHolterParser())
    samples = groups.stack(path, [lead.samples for lead in record.leads])
    deviation = samples.std(axis=0)
    return create_recording(
        (samples - samples.mean(axis=0)) / np.where(deviation > 0, deviation, 1),
        leads=[groups.lead(path, lead.label) for lead in record.leads],
        sampling_rate=record.leads[0].sampling_rate,
        id=id,
        normalized=True,
        notes=(*notes, _NOTE),
    )
