"""ISHNE Holter files (`.ecg`), through the library ecgdatakit.

Source: Badilini, Ann. Noninvasive Electrocardiol. 3 (1998) 263. A lead without a code that names it is called `Lead 1`
and so on; -32768 is no sample.
"""

import numpy as np

from ecg_jax.data.readers import library_record
from ecg_jax.data.readers.reading import reader
from ecg_jax.recording import Recording

_NO_SAMPLE = -32768


def matches(path: str, head: bytes) -> bool:
    """Tells the format's signature."""
    return head.startswith(b"ISHNE1.0")


@reader("ISHNE", library_record.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads all leads; raises `InputError` when the file is damaged or states no voltage."""
    from ecgdatakit.parsing.parsers.ishne_holter import ISHNEHolterParser

    record, notes = library_record.parse(path, ISHNEHolterParser())
    for lead in record.leads:
        lead.samples[lead.samples == _NO_SAMPLE] = np.nan
    announced, found = (record.raw_metadata[key] for key in ("ecg_size", "samples_per_lead"))
    if announced != found:  # some writers store a maximum
        notes.append(f"the header announces {announced} samples of a lead, {found} are there")
    rates = [lead.sampling_rate for lead in record.leads]
    return library_record.to_recording(path, id, record.leads, rates, notes)
