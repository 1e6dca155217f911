"""The samples of one WFDB segment, in millivolts.

Format 16, which public ECG sets use, is decoded here with the library's own arithmetic, about seven times as fast;
every other format by the library (https://github.com/MIT-LCP/wfdb-python). The `.mat` of the Challenges is format 16
behind 24 bytes of MATLAB 4 header. Sizes are compared with the files' before anything is read, checksums and initial
values with the samples.
"""

import dataclasses
import os
import stat

import numpy as np

from ecg_jax import budget, units
from ecg_jax.data.readers import reading
from ecg_jax.data.readers.wfdb_header import Header, Signal, damaged
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead

_NO_SAMPLE = -32768
_MAT_BYTES = 24  # of a MATLAB 4 header for a matrix called `val`
_MAT_INT16 = 30
_ROWS = 32


@dataclasses.dataclass(frozen=True)
class Segment:
    """What was read of one segment.

    Attributes:
        signal: Millivolts `[samples, leads]` float32, NaN where there is no sample.
        leads: One name per column, as the header spells it.
        notes: See `Recording`.
        contradictions: See `Recording`.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    notes: tuple[str, ...]
    contradictions: tuple[str, ...]


def read_signals(stem: str, header: Header) -> Segment:
    """Reads one segment, whose path without suffix is `stem`.

    Raises:
        InputError: when a signal file is missing or truncated, or a unit is not a voltage.
    """
    if not header.signals:
        raise InputError(f"{stem}.hea: the record holds no signal")
    if any(not signal.lead for signal in header.signals):
        raise InputError(f"{stem}.hea: signal without a description; each must name its lead")
    factors, notes = _select_voltages(stem, header.signals)
    sizes = {name: _measure(stem, name) for name in dict.fromkeys(signal.file for signal in header.signals)}
    is_plain = all((s.format, s.frame, s.skew) == ("16", 1, 0) for s in header.signals)
    values, digital, extra = (_read_plain if is_plain else _read_by_library)(stem, header, sizes)
    doubts, is_most = ([], False) if digital is None else _compare_samples(digital, header.signals)
    if len(factors) < len(header.signals):
        values = values[:, [*factors]]
    if set(factors.values()) != {1.0}:
        values = values * np.array([*factors.values()], np.float32)
    leads = tuple(header.signals[i].lead for i in factors)
    return Segment(values, leads, (*notes, *extra, *doubts), tuple(doubts) if is_most else ())


def _select_voltages(stem: str, signals: tuple[Signal, ...]) -> tuple[dict[int, float], list[str]]:
    """Which signals are voltages, and what their unit is in mV; others are left out, but a lead must be a voltage."""
    factors = [units.find_millivolts(signal.unit) for signal in signals]
    other = [signal for signal, factor in zip(signals, factors, strict=True) if factor is None]
    if other and (len(other) == len(signals) or any(canonical_lead(signal.lead) in LEADS for signal in other)):
        listed = ", ".join(dict.fromkeys(signal.unit for signal in other))
        raise InputError(f"{stem}.hea: unit {listed}; known: nV, uV, mV, V")
    notes = [f"{signal.lead} left out: its unit, {signal.unit}, is no voltage" for signal in other]
    return {i: factor for i, factor in enumerate(factors) if factor is not None}, notes


def _measure(stem: str, name: str) -> int:
    try:
        status = os.stat(os.path.join(os.path.dirname(stem), name))
    except OSError as error:
        own = os.path.basename(stem) + os.path.splitext(name)[1]
        renamed = own != name and os.path.isfile(os.path.join(os.path.dirname(stem), own))
        remedy = f"; {own} is there: if the record was renamed, rename it back or correct the header"
        reason = f"its signal file {name} cannot be read ({error.strerror}{remedy if renamed else ''})"
        raise InputError(f"{stem}.hea: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{stem}.hea: its signal file {name} is not a file")
    return status.st_size


def _read_plain(stem: str, header: Header, sizes: dict[str, int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Format 16: each file holds interleaved int16 of its signals. Returns physical and digital samples, and notes."""
    columns: dict[str, list[int]] = {}
    for i, signal in enumerate(header.signals):
        columns.setdefault(signal.file, []).append(i)
    samples, parts, notes = header.samples, [], []
    for name, numbers in columns.items():
        offset = header.signals[numbers[0]].offset
        held = max((sizes[name] - offset) // (2 * len(numbers)), 0)
        samples = samples or held
        if held < samples or samples == 0:
            reason = f"{name} holds {held} of the {samples} samples the header announces; copy the file again"
            raise damaged(f"{stem}.hea", reason)
        if extra := held - samples:
            notes.append(f"{name} holds {held} samples, {extra} more than the header announces")
        parts.append(_read_int16(stem, name, offset, samples, len(numbers)))
    order = np.argsort([number for numbers in columns.values() for number in numbers])
    digital = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)[:, order]
    return _to_physical(digital, header.signals), digital, notes


def _read_int16(stem: str, name: str, offset: int, samples: int, count: int) -> np.ndarray:
    path = os.path.join(os.path.dirname(stem), name)
    try:
        with open(path, "rb") as file:
            if name.endswith(".mat"):
                _check_mat(stem, name, file.read(_MAT_BYTES), offset, samples, count)
            file.seek(offset)
            values = np.fromfile(file, "<i2", samples * count)
    except OSError as error:
        raise InputError(f"{stem}.hea: its signal file {name} cannot be read ({error.strerror})") from error
    if len(values) != samples * count:
        raise damaged(f"{stem}.hea", f"{name} became shorter while it was read")
    return values.reshape(samples, count)


def _check_mat(stem: str, name: str, head: bytes, offset: int, samples: int, count: int) -> None:
    """A `.mat` states its own size; where it disagrees with the header, one of them is wrong."""
    kind, rows, columns = (int(number) for number in np.frombuffer(head.ljust(_MAT_BYTES, b"\0")[:12], "<i4"))
    if offset != _MAT_BYTES or kind != _MAT_INT16:
        raise InputError(f"{stem}.hea: {name} is not the MATLAB 4 file of int16 that +24 promises; convert it again")
    if (rows, columns) != (count, samples):
        raise InputError(f"{stem}.hea: announces {count} x {samples}, but {name} says {rows} x {columns}")


def _compare_samples(digital: np.ndarray, signals: tuple[Signal, ...]) -> tuple[list[str], bool]:
    """Lines on leads whose samples are not those that the header was written for, and whether these are most leads."""
    if not any(signal.checksum or signal.initial for signal in signals):
        return [], False  # all zero: written by a program that computes neither
    sums = _add_up(digital)
    failing, differing = [], []
    for signal, total, first in zip(signals, sums.tolist(), digital[0].tolist(), strict=True):
        if signal.checksum is not None and (signal.checksum - total) & 0xFFFF:
            failing.append(signal.lead)
        elif signal.initial is not None and signal.initial != first:
            differing.append(signal.lead)
    lines = []
    if failing:
        lines.append(f"checksum of {', '.join(failing)} differs from the header's: samples were changed after it")
    if differing:
        lines.append(f"first sample of {', '.join(differing)} differs from the header's initial value")
    unproven = len(failing) + sum(signal.checksum is None for signal in signals if signal.lead in differing)
    return lines, 2 * unproven > len(signals)


def _add_up(digital: np.ndarray) -> np.ndarray:
    """Sums of columns, of which the last 16 bits count: first of many rows at once, which is several times as fast."""
    together = len(digital) // _ROWS * _ROWS
    sums = digital[:together].reshape(-1, _ROWS * digital.shape[1]).sum(axis=0, dtype=digital.dtype)
    rest = digital[together:].sum(axis=0, dtype=digital.dtype)
    return sums.reshape(_ROWS, -1).sum(axis=0, dtype=digital.dtype) + rest


def _to_physical(digital: np.ndarray, signals: tuple[Signal, ...]) -> np.ndarray:
    """The library's arithmetic: float64 in between, float32 kept; `-32768` is no sample.

    A quotient of two float32 is the same without float64 in between, which has more than twice as many bits.
    """
    values = digital.astype(np.float32)
    baselines = [signal.baseline for signal in signals]
    if any(baselines):
        np.subtract(values, np.array(baselines), out=values, casting="same_kind")
    gains = np.array([signal.gain for signal in signals])
    is_exact = np.array_equal(gains, gains.astype(np.float32))
    np.divide(values, gains.astype(np.float32) if is_exact else gains, out=values, casting="same_kind")
    if digital.min() == _NO_SAMPLE:
        values[digital == _NO_SAMPLE] = np.nan
    return values


def _read_by_library(
    stem: str, header: Header, sizes: dict[str, int]
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Any other format, several samples to a frame, or skewed signals; see `_read_plain`.

    Averaged frames and skewed signals have no digital samples to compare: checksums are of those that are stored.
    """
    import wfdb

    if any("/" in signal.file for signal in header.signals):
        raise InputError(f"{stem}.hea: a signal file in a folder is read in format 16 alone; move it beside the header")
    needed = (header.samples or 0) * max(len(header.signals), sum(s.frame for s in header.signals))
    held = sum(sizes.values())
    if 2 * needed > budget.limit_unpacked(held) or any(s.skew > (header.samples or held) for s in header.signals):
        raise InputError(f"{stem}.hea: announces {needed} samples, more than its {held} bytes of signal can hold")
    if any(s.frame > held for s in header.signals):
        raise InputError(f"{stem}.hea: announces more samples to a frame than its {held} bytes of signal can hold")
    with reading.refuse_damage(f"{stem}.hea", "WFDB record"):
        record = wfdb.rdrecord(stem, physical=False, return_res=32)
        digital = record.d_signal
        physical = None if digital is None else record.dac(return_res=32)
    if physical is None or physical.shape[1] != len(header.signals):
        raise InputError(f"{stem}.hea: the record holds no signal")
    scales = [(signal.gain, signal.baseline) for signal in header.signals]
    if scales != [*zip(record.adc_gain, record.baseline, strict=True)]:
        raise InputError(f"{stem}.hea: gain or baseline can be understood in two ways; write GAIN(BASELINE)/UNIT")
    is_stored = all((signal.frame, signal.skew) == (1, 0) for signal in header.signals)
    return physical, digital if is_stored else None, []
