"""WFDB records: a `.hea` header with its `.dat` or `.mat` signal file."""

import os

import numpy as np
import wfdb

from ecg_jax.errors import InputError
from ecg_jax.recording import Recording, create_recording

_MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3}


def read(path: str, id: str | None = None) -> Recording:
    """Reads one record.

    Args:
        path: The record's path, with or without `.hea`, `.dat` or `.mat`.
        id: Name for messages and results; the path's last part if None.

    Raises:
        InputError: when a file is missing, truncated or not WFDB, or a unit is not a voltage.
    """
    stem = os.fspath(path)
    for suffix in (".hea", ".dat", ".mat"):
        stem = stem.removesuffix(suffix)
    if not os.path.isfile(stem + ".hea"):
        raise InputError(f"{stem}.hea: no such file; a WFDB record needs its header")
    try:
        record = wfdb.rdrecord(stem, return_res=32)
    except (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f"{stem}.hea: not a readable WFDB record ({_one_line(error)})") from error
    if record.p_signal is None:
        raise InputError(f"{stem}.hea: the record holds no signal")
    if any(name is None for name in record.sig_name):
        raise InputError(f"{stem}.hea: signal without a description; each must name its lead")
    units = [(unit or "mV").strip().lower() for unit in record.units]
    unknown = sorted(set(units) - set(_MILLIVOLTS))
    if unknown:
        raise InputError(f"{stem}.hea: unit {', '.join(unknown)}; known: mV, uV, V")
    return create_recording(
        record.p_signal,
        leads=record.sig_name,
        sampling_rate=record.fs,
        id=id or os.path.basename(stem),
        millivolts_per_unit=np.array([_MILLIVOLTS[unit] for unit in units]),
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
