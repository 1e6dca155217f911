"""SCP-ECG (EN 1064, ISO 11073-91064), through the library ecgdatakit.

It undoes Huffman coding, differences and reference beats, and refuses decimated (bimodal)
and long-term data. Traps: it goes on where checksums fail or the amplitude's multiplier is
missing, and rounds the rate to whole Hz. Leads may begin at different samples. A resting ECG
usually stores I, II and V1-V6; the other limb leads are derived where they are needed.
"""

import os
import struct
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax.data.readers import library_record, scp_sections
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

if TYPE_CHECKING:
    from ecgdatakit.models import ECGRecord, Lead

_MOST_GAPS = 16  # times what is stored: where leads begin is only a number in the file


def matches(path: str, head: bytes) -> bool:
    """Tells the header of section 0, whose first pointer is to itself at byte 7."""
    del path
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, scp_sections.SECTION_0 + 2)
    itself, place = struct.unpack_from("<H4xI", head, scp_sections.SECTION_0 + 16)
    is_first = (number, itself, place) == (0, 0, 7) and length >= 26
    return is_first or head[scp_sections.SECTION_0 + 10 : scp_sections.SECTION_0 + 16] == b"SCPECG"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm data of a file.

    Raises:
        InputError: when the file is damaged, of an unsupported compression, or states no amplitude.
    """
    path = os.fspath(path)
    with library_record.guard(path, "SCP-ECG"):
        content, notes = _parse(path)
        signal = _assemble(path, content)
        failing = [] if content.raw_metadata["checksum_valid"] else scp_sections.find_failing(Path(path).read_bytes())
    return create_recording(
        signal,
        leads=[lead.label for lead in content.leads],
        sampling_rate=1e6 / content.raw_metadata["rhythm_sample_interval_us"],
        id=id or os.path.basename(path),
        notes=notes,
        contradictions=[f"checksum of section {number} differs: its bytes were changed or lost" for number in failing],
    )


def _parse(path: str) -> "tuple[ECGRecord, list[str]]":
    from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

    data, is_changed = scp_sections.prepare(path, Path(path).read_bytes())
    with warnings.catch_warnings(), tempfile.NamedTemporaryFile(suffix=".scp") if is_changed else open(path) as file:
        warnings.simplefilter("ignore")  # what it warns of is checked here
        if is_changed:
            Path(file.name).write_bytes(data)
        content = SCPECGParser().parse(Path(file.name))
    notes = [] if content.raw_metadata["checksum_valid"] else ["checksums do not fit: bytes were changed or lost"]
    notes += scp_sections.contradict_lengths(data)
    return content, [*notes, *(["samples are counted from 0, not from 1 as the standard does"] if is_changed else [])]


def _assemble(path: str, content: "ECGRecord") -> np.ndarray:
    """Millivolts `[samples, leads]`, NaN where a lead has not begun or has ended."""
    leads = content.leads
    starts = [_start(lead) for lead in leads]
    first = min(starts)
    length = max(start - first + len(lead.samples) for start, lead in zip(starts, leads, strict=True))
    if length * len(leads) > _MOST_GAPS * sum(len(lead.samples) for lead in leads):
        raise InputError(f"{path}: leads lie in {length} samples, most of which no lead has")
    signal = np.full((length, len(leads)), np.nan, np.float32)
    for column, (start, lead) in enumerate(zip(starts, leads, strict=True)):
        if lead.resolution_unit != "uV":
            raise InputError(f"{path}: the amplitude multiplier is 0; the unit is unknown")
        values = np.asarray(lead.samples) * (lead.resolution / 1000)
        signal[start - first : start - first + len(values), column] = values
    return signal


def _start(lead: "Lead") -> int:
    return int(lead.annotations.get("start_sample", 1))
