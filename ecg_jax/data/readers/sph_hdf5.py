"""Shandong Provincial Hospital's HDF5 layout: one recording a file, `ecg` float16 [12, N] in mV at 500 Hz.

Leads I, II, III, aVR, aVL, aVF, V1-V6. Source: Liu et al., Sci Data 9, 272 (2022), doi 10.1038/s41597-022-01403-5.
SPH's files name neither leads nor rate nor unit; what a sidecar, the caller or attributes state takes precedence.
"""

import os

import numpy as np

from ecg_jax.data.readers import code_hdf5, hdf5_file, sidecars
from ecg_jax.data.readers.sidecars import Declared
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording

SAMPLING_RATE = 500.0


def matches(path: str, head: bytes) -> bool:
    """Tells an HDF5 file with `ecg` at its top."""
    return bool(hdf5_file.has_array(path, head, "ecg"))


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads the recording; raises `InputError` when the file is missing, damaged or of another layout."""
    path = os.fspath(path)
    shape = hdf5_file.describe(path, "ecg")
    if len(shape) != 2 or shape[0] != len(LEADS):
        raise InputError(f"{path}: expected `ecg` of shape [12, samples], found {shape}")
    signal = hdf5_file.read_array(path, "ecg")
    if signal.dtype.kind != "f":
        raise InputError(f"{path}: `ecg` holds {signal.dtype}; expected floating-point millivolts")
    stated, notes = code_hdf5.find_stated(path, "ecg", declared)
    factor = sidecars.find_factor(path, stated.unit or "mV")
    return create_recording(
        np.ascontiguousarray(signal.T),
        leads=stated.leads or LEADS,
        sampling_rate=stated.sampling_rate or SAMPLING_RATE,
        id=id or os.path.basename(path),
        millivolts_per_unit=factor,
        unit=factor,
        normalized=stated.is_normalized,
        notes=notes,
    )
