"""The formats that are read, and how the format of a file is found: by its content first.

Each module's `matches(path, head)` is asked in turn. A suffix counts only where the content is of no known format, so
that a damaged file is named instead of passed over.
"""

import os
from collections.abc import Callable
from types import ModuleType

from ecg_jax import files
from ecg_jax.data.readers import (
    aecg,
    arrays,
    cardiosoft,
    code_hdf5,
    cpsc_mat,
    csv_table,
    dicom,
    edan,
    edf,
    hdf5_file,
    ishne,
    mfer,
    mortara,
    muse,
    philips,
    reading,
    schiller,
    scp,
    sidecars,
    sph_hdf5,
    wfdb,
    xml_document,
)
from ecg_jax.data.readers.sidecars import Declared
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

FORMATS: dict[str, ModuleType] = {
    "WFDB (.hea with .dat or .mat)": wfdb,
    "CODE HDF5 (tracings)": code_hdf5,
    "SPH HDF5 (ecg)": sph_hdf5,
    "CPSC2018 MATLAB (struct ECG)": cpsc_mat,
    "DICOM": dicom,
    "HL7 aECG": aecg,
    "Philips Sierra XML": philips,
    "GE MUSE XML": muse,
    "GE CardioSoft XML": cardiosoft,
    "Schiller XML": schiller,
    "SCP-ECG": scp,
    "EDF and BDF": edf,
    "ISHNE": ishne,
    "MFER": mfer,
    "Mortara XML": mortara,
    "Edan (patient.hea with ecgraw.dat, or .arc)": edan,
    "NumPy, CSV or MATLAB (val) with a sidecar .json or declared leads, rate and unit": arrays,
}
HEAD_BYTES = 4096
_SUFFIXES: dict[str, ModuleType] = {
    **dict.fromkeys((".hdf5", ".h5"), code_hdf5),
    **dict.fromkeys((".edf", ".bdf"), edf),
    **dict.fromkeys((".mwf", ".mfer"), mfer),
    **{".hea": wfdb, ".dcm": dicom, ".scp": scp, ".npy": arrays},
}


def read(path: str, id: str | None = None, declared: Declared | None = None) -> Recording:
    """Reads a file of any known format that holds one recording.

    Args:
        path: A file, or a WFDB record's name.
        id: Name for messages and results; each format has its own if None.
        declared: What a NumPy, CSV, MATLAB or HDF5 file without a sidecar holds.

    Raises:
        InputError: when it is not there, of no known format, damaged, or holds several recordings.
    """
    path = resolve(path)
    reader = detect(path)
    if reader is None:
        raise InputError(describe_unknown(path))
    if reader is code_hdf5:
        count = len(code_hdf5.read_ids(path))
        if count != 1:
            raise InputError(f"{path}: holds {count} recordings, not one; list them with `readers.find`")
        return code_hdf5.read(path, 0, id, declared)
    return read_one(reader.read, path, id, declared)


def read_one(
    read: Callable[..., Recording], path: str, id: str | None = None, declared: Declared | None = None
) -> Recording:
    """Reads a file by the function of its format, other than CODE's; what is declared and not used is noted."""
    if read in (arrays.read, sph_hdf5.read):
        return read(path, id, declared)
    return sidecars.compare(read(path, id), declared)


def resolve(path: str) -> str:
    """Turns a WFDB record's name, or its signal file, into the path of its header; raises `InputError` if absent."""
    path = os.fspath(path)
    if os.path.isdir(path):
        raise InputError(f"{path}: a folder; list its recordings with `readers.find`")
    for header in (path + ".hea", os.path.splitext(path)[0] + ".hea"):
        if os.path.isfile(header) and (not os.path.isfile(path) or path.endswith(wfdb.SIGNAL_SUFFIXES)):
            return header
    if not os.path.isfile(path):
        missing = f"no such file or folder{files.suggest(path)}"
        raise InputError(f"{path}: {'no regular file' if os.path.exists(path) else missing}")
    return path


def describe_unknown(path: str) -> str:
    """The message on a file of no known format, or a CSV without numbers."""
    if path.lower().endswith(arrays.TEXT):
        return csv_table.describe_unlike(path)
    return f"{path}: unknown format; known: {'; '.join(FORMATS)}"


def detect(path: str) -> ModuleType | None:
    """Finds the module that reads a file; None where no format is recognized.

    Raises:
        InputError: when it cannot be opened.
    """
    reading.measure(path)
    head = xml_document.read_head(path, HEAD_BYTES)
    reader = next((module for module in FORMATS.values() if module.matches(path, head)), None)
    if reader is None and not head.startswith(hdf5_file.SIGNATURE):  # a whole file of another layout is not damaged
        reader = _SUFFIXES.get(os.path.splitext(path)[1].lower())
    return reader
