"""SCP-ECG (EN 1064, ISO 11073-91064), through the library ecgdatakit.

It undoes Huffman coding, differences and reference beats, and refuses decimated (bimodal)
and long-term data. Traps: it goes on where checksums fail or the amplitude's multiplier is
missing, and rounds the rate to whole Hz. Leads may begin at different samples. A resting ECG
usually stores I, II and V1-V6; the other limb leads are derived where they are needed.
"""

import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

if TYPE_CHECKING:
    from ecgdatakit.models import ECGRecord, Lead

_SECTION_0 = 6  # where its header begins, behind the record's checksum and size
_SECTION_HEADER, _POINTER = 16, 10  # bytes
_MOST_SAMPLES = 1 << 21  # of all leads: twelve of six minutes at 500 Hz
_MOST_GAPS = 16  # times what is stored: where leads begin is only a number in the file
_DAMAGE = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, MemoryError),
    *(LookupError, RuntimeError, struct.error),
)


def matches(path: str, head: bytes) -> bool:
    """Tells the header of section 0, whose first pointer is to itself at byte 7."""
    del path
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, _SECTION_0 + 2)
    itself, place = struct.unpack_from("<H4xI", head, _SECTION_0 + 16)
    is_first = (number, itself, place) == (0, 0, 7) and length >= 26
    return is_first or head[_SECTION_0 + 10 : _SECTION_0 + 16] == b"SCPECG"


def read(path: str, id: str | None = None) -> Recording:
    """Reads the rhythm data of a file.

    Raises:
        InputError: when the file is damaged, of an unsupported compression, or states no amplitude.
    """
    from ecgdatakit.exceptions import ECGDataKitError
    from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

    path = os.fspath(path)
    try:
        _check_counts(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is checked below
            content = SCPECGParser().parse(Path(path))
        signal, notes = _assemble(path, content)
    except (*_DAMAGE, ECGDataKitError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: not a readable SCP-ECG file ({reason[:300]})") from error
    return create_recording(
        signal,
        leads=[lead.label for lead in content.leads],
        sampling_rate=1e6 / content.raw_metadata["rhythm_sample_interval_us"],
        id=id or os.path.basename(path),
        notes=notes,
    )


def _check_counts(path: str) -> None:
    """The library allocates as many samples as are announced; the shortest code of a sample is one bit."""
    data = Path(path).read_bytes()
    places = _find_sections(data)
    announced = [0]
    if 3 in places:  # the first and last sample of each lead
        ranges = [struct.unpack_from("<II", data, places[3] + 2 + 9 * i) for i in range(data[places[3]])]
        announced += [last - first + 1 for first, last in ranges]
    if 4 in places and 5 in places:  # the reference beat's length in ms, and its interval in microseconds
        (length,), (interval,) = (
            struct.unpack_from("<H", data, places[4]),
            struct.unpack_from("<H", data, places[5] + 2),
        )
        announced.append(1000 * length // max(interval, 1))
    if sum(announced) > (most := min(8 * len(data), _MOST_SAMPLES)):
        raise InputError(f"{path}: announces {sum(announced)} samples, of which {len(data)} bytes hold at most {most}")


def _find_sections(data: bytes) -> dict[int, int]:
    """Number of each section -> where its content begins."""
    (length,) = struct.unpack_from("<I", data, _SECTION_0 + 4)
    end = min(len(data), _SECTION_0 + length)
    starts = range(_SECTION_0 + _SECTION_HEADER, end - _POINTER + 1, _POINTER)
    pointers = [struct.unpack_from("<HII", data, start) for start in starts]
    return {number: place - 1 + _SECTION_HEADER for number, size, place in pointers if size}


def _assemble(path: str, content: "ECGRecord") -> tuple[np.ndarray, list[str]]:
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
    notes = [] if content.raw_metadata["checksum_valid"] else ["checksums do not fit: bytes were changed or lost"]
    return signal, notes


def _start(lead: "Lead") -> int:
    return int(lead.annotations.get("start_sample", 1))
