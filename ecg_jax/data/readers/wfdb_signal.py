"""The samples of one WFDB segment, in millivolts.

Format 16, which public ECG sets use, is decoded here with the library's own arithmetic and
about seven times as fast; every other format by the library
(https://github.com/MIT-LCP/wfdb-python). The `.mat` of the Challenges is format 16 behind
24 bytes of MATLAB 4 header. Sizes are compared with the files' before anything is read, and
checksums with the samples.
"""

import os
import stat

import numpy as np

from ecg_jax import budget
from ecg_jax.data.readers.wfdb_header import Header, Signal
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, canonical_lead

_MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}
_NO_SAMPLE = -32768
_MAT_BYTES = 24  # of a MATLAB 4 header for a matrix called `val`
_MAT_INT16 = 30
_LIBRARY_ERRORS = (
    *(OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, ArithmeticError, MemoryError),
    *(RuntimeError, NotImplementedError, UnboundLocalError, AssertionError),
)


def read_signals(stem: str, header: Header) -> tuple[np.ndarray, list[str], list[str]]:
    """Reads one segment.

    Args:
        stem: The segment's path without suffix.
        header: Its header, with signals.

    Returns:
        Millivolts `[samples, leads]` float32, NaN where there is no sample; the leads; notes.

    Raises:
        InputError: when a signal file is missing or truncated, or a unit is no voltage.
    """
    if not header.signals:
        raise InputError(f"{stem}.hea: the record holds no signal")
    if any(not signal.lead for signal in header.signals):
        raise InputError(f"{stem}.hea: signal without a description; each must name its lead")
    kept, notes = _select_voltages(stem, header.signals)
    files = dict.fromkeys(signal.file for signal in header.signals)
    sizes = {name: _measure(stem, name) for name in files}
    is_plain = all((s.format, s.frame, s.skew) == ("16", 1, 0) for s in header.signals)
    read_file = _read_plain if is_plain else _read_by_library
    values, extra = read_file(stem, header, sizes)
    factors = [_MILLIVOLTS[header.signals[i].unit.lower()] for i in kept]
    if kept != [*range(len(header.signals))]:
        values = values[:, kept]
    if set(factors) != {1.0}:
        values = values * np.array(factors, np.float32)
    return values, [header.signals[i].lead for i in kept], [*notes, *extra]


def _select_voltages(stem: str, signals: tuple[Signal, ...]) -> tuple[list[int], list[str]]:
    """Indices of the signals that are voltages; another one is left out unless it claims to be an ECG lead."""
    other = [signal for signal in signals if signal.unit.lower() not in _MILLIVOLTS]
    if other and (len(other) == len(signals) or any(canonical_lead(signal.lead) in LEADS for signal in other)):
        units = ", ".join(dict.fromkeys(signal.unit for signal in other))
        raise InputError(f"{stem}.hea: unit {units}; known: mV, uV, V")
    notes = [f"{signal.lead} left out: its unit, {signal.unit}, is no voltage" for signal in other]
    return [i for i, signal in enumerate(signals) if signal not in other], notes


def _measure(stem: str, name: str) -> int:
    try:
        status = os.stat(os.path.join(os.path.dirname(stem), name))
    except OSError as error:
        own = os.path.basename(stem) + os.path.splitext(name)[1]
        renamed = own != name and os.path.isfile(os.path.join(os.path.dirname(stem), own))
        remedy = f"; {own} lies there: if the record was renamed, rename it back or correct the header"
        reason = f"its signal file {name} cannot be read ({error.strerror}{remedy if renamed else ''})"
        raise InputError(f"{stem}.hea: {reason}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{stem}.hea: its signal file {name} is not a file")
    return status.st_size


def _read_plain(stem: str, header: Header, sizes: dict[str, int]) -> tuple[np.ndarray, list[str]]:
    """Format 16: each file holds interleaved int16 of its signals."""
    columns = {name: [i for i, signal in enumerate(header.signals) if signal.file == name] for name in sizes}
    offsets = {name: header.signals[columns[name][0]].offset for name in sizes}
    frames = {name: (sizes[name] - offsets[name]) // (2 * len(columns[name])) for name in sizes}
    samples = header.samples or max(frames[next(iter(frames))], 0)
    notes = []
    digital = np.empty((samples, 0), "<i2")
    for name, numbers in columns.items():
        if frames[name] < samples or samples == 0:
            raise InputError(
                f"{stem}.hea: not a readable WFDB record ({name} holds {max(frames[name], 0)} of the {samples} samples "
                "the header announces; copy the file again)"
            )
        if frames[name] > samples:
            notes.append(
                f"{name} holds {frames[name]} samples, {frames[name] - samples} more than the header announces"
            )
        read = _read_int16(stem, name, offsets[name], samples, len(numbers))
        digital = read if len(numbers) == len(header.signals) else np.concatenate([digital, read], axis=1)
    order = [number for numbers in columns.values() for number in numbers]
    if order != sorted(order):
        digital = digital[:, np.argsort(order)]
    notes += _check_sums(digital, header.signals)
    return _to_physical(digital, header.signals), notes


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
        raise InputError(f"{stem}.hea: not a readable WFDB record ({name} became shorter while it was read)")
    return values.reshape(samples, count)


def _check_mat(stem: str, name: str, head: bytes, offset: int, samples: int, count: int) -> None:
    """A `.mat` says itself what it holds; where it disagrees with the header, one of them is wrong."""
    kind, rows, columns = (int(number) for number in np.frombuffer(head.ljust(_MAT_BYTES, b"\0")[:12], "<i4"))
    if offset != _MAT_BYTES or kind != _MAT_INT16:
        raise InputError(f"{stem}.hea: {name} is not the MATLAB 4 file of int16 that +24 promises; convert it again")
    if (rows, columns) != (count, samples):
        raise InputError(f"{stem}.hea: announces {count} x {samples}, but {name} says {rows} x {columns}")


def _check_sums(digital: np.ndarray, signals: tuple[Signal, ...]) -> list[str]:
    found = digital.sum(axis=0, dtype=np.int64)
    wrong = [
        signal.lead
        for signal, total in zip(signals, found, strict=True)
        if signal.checksum is not None and (signal.checksum - int(total)) & 0xFFFF
    ]
    return [f"checksum of {', '.join(wrong)} differs from the header's: samples were changed after it"] if wrong else []


def _to_physical(digital: np.ndarray, signals: tuple[Signal, ...]) -> np.ndarray:
    """The library's arithmetic: float64 in between, float32 kept; `-32768` is no sample."""
    values = digital.astype(np.float32)
    baselines = [signal.baseline for signal in signals]
    if any(baselines):
        np.subtract(values, np.array(baselines), out=values, casting="same_kind")
    np.divide(values, np.array([signal.gain for signal in signals]), out=values, casting="same_kind")
    values[digital == _NO_SAMPLE] = np.nan
    return values


def _read_by_library(stem: str, header: Header, sizes: dict[str, int]) -> tuple[np.ndarray, list[str]]:
    """Any other format, several samples to a frame, or skewed signals."""
    import wfdb

    needed = (header.samples or 0) * max(len(header.signals), sum(s.frame for s in header.signals))
    held = sum(sizes.values())
    if 2 * needed > budget.limit_unpacked(held) or any(s.skew > (header.samples or held) for s in header.signals):
        raise InputError(f"{stem}.hea: announces {needed} samples, more than its {held} bytes of signal can hold")
    if any(s.frame > held for s in header.signals):
        raise InputError(f"{stem}.hea: announces more samples to a frame than its {held} bytes of signal can hold")
    try:
        record = wfdb.rdrecord(stem, return_res=32)
    except _LIBRARY_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{stem}.hea: not a readable WFDB record ({reason})") from error
    if record.p_signal is None or record.p_signal.shape[1] != len(header.signals):
        raise InputError(f"{stem}.hea: the record holds no signal")
    scales = [(signal.gain, signal.baseline) for signal in header.signals]
    if scales != [*zip(record.adc_gain, record.baseline, strict=True)]:
        raise InputError(f"{stem}.hea: gain or baseline can be understood in two ways; write GAIN(BASELINE)/UNIT")
    return record.p_signal, []
