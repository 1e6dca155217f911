"""What the formats share that are read through the library ecgdatakit (https://github.com/UMMISCO/ECGDataKit).

The library trusts much of what a damaged file announces: what its work grows with is bounded before it parses a file.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers import groups
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, canonical_lead

if TYPE_CHECKING:
    from ecgdatakit.models import ECGRecord, Lead
    from ecgdatakit.parsing.parser import Parser

LARGEST_FILE = 256 * 2**20  # bytes; three leads of a day at 250 Hz are half of it
_LONGEST_NOTE = 200


def parse(path: str, parser: "Parser") -> "tuple[ECGRecord, list[str]]":
    """Reads a file; returns also the library's warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = parser.parse(Path(path))
    return record, [*dict.fromkeys(" ".join(str(each.message).split())[:_LONGEST_NOTE] for each in caught)]


def to_recording(path: str, id: str, leads: "list[Lead]", rates: Sequence[float], notes: Sequence[str]) -> Recording:
    """Makes a recording of leads, as the library read them (NaN where there is no sample), and their rates in Hz.

    A channel that is not a voltage is left out, unless it claims to be an ECG lead.

    Raises:
        InputError: when there is none, a unit is not stated, or leads differ in rate or length.
    """
    factors = [units.find_millivolts(lead.resolution_unit) for lead in leads]
    unknown = [lead.label for lead, factor in zip(leads, factors, strict=True) if factor is None]
    if len(unknown) == len(leads) or any(canonical_lead(label) in LEADS for label in unknown):
        raise InputError(f"{path}: no voltage per step stated for lead {', '.join(unknown)[:80] or '(none)'}")
    kept = [(lead, rate, f) for lead, rate, f in zip(leads, rates, factors, strict=True) if f is not None]
    if len(different := {rate for _, rate, _ in kept}) > 1:
        raise InputError(f"{path}: leads at different sampling rates, {sorted(different)} Hz")
    if any(lead.resolution == 0 for lead, _, _ in kept):
        raise InputError(f"{path}: a step is 0 mV; export the ECG again")
    group = groups.Group(
        samples=groups.stack(path, [lead.samples + lead.offset / lead.resolution for lead, _, _ in kept]),
        leads=tuple(groups.lead(path, lead.label) for lead, _, _ in kept),
        millivolts_per_unit=np.array([lead.resolution * factor for lead, _, factor in kept]),
        sampling_rate=kept[0][1],
        notes=(*notes, *([f"no voltage, so left out: {', '.join(unknown)}"] if unknown else [])),
    )
    return groups.to_recording(path, id, group)
