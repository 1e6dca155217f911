"""WFDB records: a `.hea` header with its `.dat` or `.mat` signal files, in one or several segments.

Segments of a fixed layout have the same leads; those of a variable layout have their own, and the first, of no samples,
lists them all. https://physionet.org/physiotools/wag/header-5.htm
"""

import itertools
import os

import numpy as np

from ecg_jax import units
from ecg_jax.data.readers.wfdb_header import Header, read_header
from ecg_jax.data.readers.wfdb_signal import Segment, read_signals
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, canonical_lead, create_recording

SIGNAL_SUFFIXES = (".dat", ".mat")
_MOST_GAPS = 16  # times what is stored: a gap costs nothing in the file, but memory here
_GAP = "~"  # names a segment without a file


def matches(path: str, head: bytes) -> bool:
    """Tells a header by its name; WFDB finds it by no other. It is text, unlike those of Edan."""
    return path.endswith(".hea") and b"\0" not in head[:64]


def list_parts(path: str) -> set[str]:
    """Names of the files beside a header that belong to it: signal files, segments' headers."""
    stem = os.path.basename(path).removesuffix(".hea")
    parts = {stem + suffix for suffix in SIGNAL_SUFFIXES}
    try:
        header = read_header(path)
    except InputError:  # reading will report it
        return parts
    segments = {name + ".hea" for name, _ in header.segments} - {os.path.basename(path)}
    return parts | {signal.file for signal in header.signals} | segments


def read(path: str, id: str | None = None) -> Recording:
    """Reads one record, named with or without `.hea`, `.dat` or `.mat`; the default id is the path's last part.

    Raises:
        InputError: when a file is missing, truncated or not WFDB, or a unit is not a voltage.
    """
    stem, suffix = os.path.splitext(os.fspath(path))
    if suffix not in (".hea", *SIGNAL_SUFFIXES):
        stem += suffix
    header = read_header(stem + ".hea")
    found = _read_segments(stem, header) if header.segments else read_signals(stem, header)
    factors = {signal.known_factor for signal in header.signals}
    stated = {units.find_millivolts(signal.unit) for signal in header.signals}
    return create_recording(
        found.signal,
        leads=found.leads,
        sampling_rate=header.sampling_rate,
        id=id or os.path.basename(stem),
        notes=(*header.notes, *found.notes),
        contradictions=found.contradictions,
        known_factor=factors.pop() if len(factors) == 1 else None,
        unit=stated.pop() if len(stated) == 1 else None,
    )


def _read_segments(stem: str, header: Header) -> Segment:
    """Puts segments one after the other; `~` is a gap, and a first segment of no samples lists the leads."""
    folder = os.path.dirname(stem)
    lengths = [samples for _, samples in header.segments]
    if header.samples not in (None, sum(lengths)):
        raise InputError(f"{stem}.hea: announces {header.samples} samples, its segments {sum(lengths)}")
    names = [name for name, _ in header.segments if name != _GAP]
    if len(set(names)) < len(names):
        raise InputError(f"{stem}.hea: names a segment twice; each may be named once in a record")
    headers = {name: read_header(os.path.join(folder, name + ".hea")) for name in names}
    parts: list[tuple[int, Segment]] = []
    notes: list[str] = []
    contradictions: list[str] = []
    for start, (name, samples) in zip(itertools.accumulate([0, *lengths]), header.segments, strict=False):
        if samples == 0 or name == _GAP:
            continue
        _check_segment(stem, header, name, samples, headers[name])
        part = read_signals(os.path.join(folder, name), headers[name])
        parts.append((start, part))
        notes += [f"segment {name}: {note}" for note in (*headers[name].notes, *part.notes)]
        contradictions += [f"segment {name}: {line}" for line in part.contradictions]
    layout = [signal.lead for signal in headers[names[0]].signals] if names else []
    signal, leads = _assemble(stem, sum(lengths), parts, layout)
    return Segment(signal, leads, tuple(notes), tuple(contradictions))


def _check_segment(stem: str, header: Header, name: str, samples: int, part: Header) -> None:
    if part.segments:
        raise InputError(f"{stem}.hea: segment {name} is made of segments itself; WFDB allows one level")
    if part.samples not in (None, samples) or part.sampling_rate != header.sampling_rate:
        raise InputError(
            f"{stem}.hea: segment {name} has {part.samples} samples at {part.sampling_rate:g} Hz; "
            f"announced are {samples} at {header.sampling_rate:g} Hz"
        )


def _assemble(
    stem: str, total: int, parts: list[tuple[int, Segment]], layout: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """One column per lead that any segment holds, in the layout's order, NaN where a segment lacks it."""
    held = {canonical_lead(lead) for _, part in parts for lead in part.leads}
    order = dict.fromkeys(map(canonical_lead, (*layout, *(lead for _, part in parts for lead in part.leads))))
    leads = [lead for lead in order if lead in held]
    stored = sum(part.signal.size for _, part in parts)
    if total * len(leads) > _MOST_GAPS * stored or not parts:
        raise InputError(f"{stem}.hea: announces {total} x {len(leads)} samples, but its segments store {stored}")
    signal = np.full((total, len(leads)), np.nan, np.float32)
    for start, part in parts:
        signal[start : start + len(part.signal), [leads.index(canonical_lead(lead)) for lead in part.leads]] = (
            part.signal
        )
    return signal, tuple(leads)
