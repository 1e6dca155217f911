"""SCP-ECG (EN 1064, ISO 11073-91064), through the library ecgdatakit.

It undoes Huffman coding, differences and reference beats, and refuses decimated (bimodal) and long-term data. Traps: it
goes on where checksums fail or the amplitude's multiplier is missing, rounds the rate to whole Hz, allocates as many
samples as a file announces, and refuses files that count samples from 0, as some devices do; the standard counts from
1. Leads may begin at different samples. A resting ECG usually stores I, II and V1-V6; the other limb leads are derived
where they are needed.
"""

import binascii
import struct
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax.data.readers import library_record, reading
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

if TYPE_CHECKING:
    from ecgdatakit.models import ECGRecord

_SECTION_0 = 6  # where its header begins, behind the record's checksum and size
_HEADER, _POINTER, _LEAD = 16, 10, 9  # bytes
_HUFFMAN, _LEAD_DEFINITIONS, _BEAT_PLACES, _BEAT, _RHYTHM = 2, 3, 4, 5, 6
_SIGNAL = (_HUFFMAN, _LEAD_DEFINITIONS, _BEAT_PLACES, _BEAT, _RHYTHM)
_WHOLE = 100_000  # microseconds
_MOST_SAMPLES = 1 << 21  # of all leads: twelve of six minutes at 500 Hz
_MOST_GAPS = 16  # times what is stored: where leads begin is only a number in the file


def matches(path: str, head: bytes) -> bool:
    """Tells the header of section 0, whose first pointer is to itself at byte 7."""
    if len(head) < 32:
        return False
    number, length = struct.unpack_from("<HI", head, _SECTION_0 + 2)
    itself, place = struct.unpack_from("<H4xI", head, _SECTION_0 + 16)
    is_first = (number, itself, place) == (0, 0, 7) and length >= 26
    return is_first or head[_SECTION_0 + 10 : _SECTION_0 + 16] == b"SCPECG"


@reading.reader("SCP-ECG", library_record.LARGEST_FILE)
def read(path: str, id: str) -> Recording:
    """Reads the rhythm data.

    Raises:
        InputError: when the file is damaged, of an unsupported compression, or states no amplitude.
    """
    data = reading.read_bytes(path)
    file = File(data)
    file.check_announced(path)
    is_changed = file.count_from_one()
    content = _parse(path, file.data if is_changed else None)
    notes, contradictions = file.describe_lengths(), []
    if not content.raw_metadata["checksum_valid"]:
        notes.insert(0, "checksums do not fit: bytes were changed or lost")
        contradictions = File(data).describe_failing()
    if is_changed:
        notes.append("samples are counted from 0, not from 1 as the standard does")
    return create_recording(
        _assemble(path, content),
        leads=[lead.label for lead in content.leads],
        sampling_rate=1e6 / content.raw_metadata["rhythm_sample_interval_us"],
        id=id,
        notes=notes,
        contradictions=contradictions,
    )


def _parse(path: str, changed: bytearray | None) -> "ECGRecord":
    from ecgdatakit.parsing.parsers.scp_ecg import SCPECGParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is checked here
        if changed is None:
            return SCPECGParser().parse(Path(path))
        with tempfile.NamedTemporaryFile(suffix=".scp") as copy:
            copy.write(changed)
            copy.flush()
            return SCPECGParser().parse(Path(copy.name))


def _assemble(path: str, content: "ECGRecord") -> np.ndarray:
    """Millivolts `[samples, leads]`, NaN where a lead has not begun or has ended."""
    leads = content.leads
    starts = [int(lead.annotations.get("start_sample", 1)) for lead in leads]
    first = min(starts)
    length = max(start - first + len(lead.samples) for start, lead in zip(starts, leads, strict=True))
    if length * len(leads) > _MOST_GAPS * sum(len(lead.samples) for lead in leads):
        raise InputError(f"{path}: leads span {length} samples, most of which no lead has")
    signal = np.full((length, len(leads)), np.nan, np.float32)
    for column, (start, lead) in enumerate(zip(starts, leads, strict=True)):
        if lead.resolution_unit != "uV":
            raise InputError(f"{path}: the amplitude multiplier is 0; the unit is unknown")
        values = np.asarray(lead.samples) * (lead.resolution / 1000)
        signal[start - first : start - first + len(values), column] = values
    return signal


class File:
    """The sections of a file, as far as they are checked before and after the library reads them."""

    def __init__(self, content: bytes) -> None:
        """Finds where the content of each section begins."""
        self.data = bytearray(content)
        (length,) = self._unpack("<I", _SECTION_0 + 4)
        end = min(len(content), _SECTION_0 + length)
        pointers = [self._unpack("<HII", at) for at in range(_SECTION_0 + _HEADER, end - _POINTER + 1, _POINTER)]
        self.places = {number: place - 1 + _HEADER for number, size, place in pointers if size}

    def _unpack(self, form: str, place: int) -> tuple[int, ...]:
        return struct.unpack_from(form, self.data, place)

    def _list_ranges(self) -> list[tuple[int, ...]]:
        """The first and the last sample of each lead."""
        if _LEAD_DEFINITIONS not in self.places:
            return []
        start = self.places[_LEAD_DEFINITIONS]
        return [self._unpack("<II", start + 2 + _LEAD * i) for i in range(self.data[start])]

    def check_announced(self, path: str) -> None:
        """Raises `InputError` when the file announces more samples than its bytes can hold."""
        announced = [0, *(last - first + 1 for first, last in self._list_ranges())]
        if _BEAT_PLACES in self.places and _BEAT in self.places:
            (milliseconds,) = self._unpack("<H", self.places[_BEAT_PLACES])
            (microseconds,) = self._unpack("<H", self.places[_BEAT] + 2)  # of one sample
            announced.append(1000 * milliseconds // max(microseconds, 1))
        if sum(announced) > (most := min(8 * len(self.data), _MOST_SAMPLES)):  # a sample takes at least one bit
            raise InputError(
                f"{path}: announces {sum(announced)} samples, of which {len(self.data)} bytes hold at most {most}"
            )

    def count_from_one(self) -> bool:
        """Shifts each lead's range where samples are counted from 0, and corrects checksums; False if none is.

        Where a lead's last sample is the number of samples already, only its first is shifted.
        """
        ranges = self._list_ranges()
        if all(first != 0 for first, _ in ranges):
            return False
        start, original = self.places[_LEAD_DEFINITIONS], bytes(self.data)
        for i, (first, last) in enumerate(ranges):
            last += not self._is_count(i, last)
            struct.pack_into("<II", self.data, start + 2 + _LEAD * i, first + 1, last)
        (length,), (size,) = self._unpack("<I", start - _HEADER + 4), self._unpack("<I", 2)
        for begin, end in ((start - _HEADER, start - _HEADER + length), (0, size)):
            if self._unpack("<H", begin)[0] == binascii.crc_hqx(original[begin + 2 : end], 0xFFFF):
                struct.pack_into("<H", self.data, begin, binascii.crc_hqx(self.data[begin + 2 : end], 0xFFFF))
        return True

    def _is_count(self, lead: int, last: int) -> bool:
        """Whether the last sample of a lead that begins at 0 is the number of samples, one more than it should be."""
        if _RHYTHM not in self.places:
            return False
        if _HUFFMAN not in self.places:
            (size,) = self._unpack("<H", self.places[_RHYTHM] + 6 + 2 * lead)
            return last == size // 2
        (interval,) = self._unpack("<H", self.places[_RHYTHM] + 2)
        return last * interval % _WHOLE == 0  # how many are packed is unknown, but ECGs last for a round time

    def describe_lengths(self) -> list[str]:
        """A note where the leads' samples do not fill their section, except for a zero that makes it even."""
        if _RHYTHM not in self.places or _LEAD_DEFINITIONS not in self.places:
            return []
        leads, start = self.data[self.places[_LEAD_DEFINITIONS]], self.places[_RHYTHM]
        (length,) = self._unpack("<I", start - _HEADER + 4)
        stated = sum(self._unpack(f"<{leads}H", start + 6))
        there = length - _HEADER - 6 - 2 * leads
        is_padded = stated == there - 1 and length % 2 == 0 and self.data[start - _HEADER + length - 1] == 0
        if stated == there or is_padded:
            return []
        return [f"leads have {stated} bytes in all, as stated, but their section {there}: one of them is wrong"]

    def describe_failing(self) -> list[str]:
        """Sections of the signal with another checksum; none where only the patient's data were changed."""
        failing = []
        for number, place in self.places.items():
            start = place - _HEADER
            stated, _, length = self._unpack("<HHI", start)
            if number in _SIGNAL and binascii.crc_hqx(self.data[start + 2 : start + length], 0xFFFF) != stated:
                failing.append(f"checksum of section {number} differs: its bytes were changed or lost")
        return failing
