"""ISHNE Holter files (`.ecg`), through the library ecgdatakit.

Source: Badilini, Ann. Noninvasive Electrocardiol. 3 (1998) 263. A lead without a code that names it is called
`Lead 1` and so on; -32768 is no sample.
"""

import os

import numpy as np

from ecg_jax.data.readers import groups, library_record
from ecg_jax.recording import Recording

_SIGNATURE = b"ISHNE1.0"
_NO_SAMPLE = -32768


def matches(path: str, head: bytes) -> bool:
    """Tells the format's signature."""
    del path
    return head.startswith(_SIGNATURE)


def read(path: str, id: str | None = None) -> Recording:
    """Reads all leads.

    Raises:
        InputError: when the file is damaged or states no voltage.
    """
    path = os.fspath(path)
    with library_record.guard(path, "ISHNE"):
        from ecgdatakit.parsing.parsers.ishne_holter import ISHNEHolterParser

        record, notes = library_record.parse(path, ISHNEHolterParser())
        for lead in record.leads:
            lead.samples[lead.samples == _NO_SAMPLE] = np.nan
        announced, found = (record.raw_metadata[key] for key in ("ecg_size", "samples_per_lead"))
        if announced != found:  # some writers store a maximum
            notes += (f"the header announces {announced} samples of a lead, {found} are there",)
        group = library_record.to_group(path, record.leads, [lead.sampling_rate for lead in record.leads], notes)
        return groups.to_recording(path, id or os.path.basename(path), group)
