"""A NumPy array [N, samples, leads] with a row-aligned CSV, and what it does not say itself declared."""

import functools
import os
import zipfile

import numpy as np

from ecg_jax import units
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.readers import sidecars
from ecg_jax.data.readers.sidecars import Declared
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording


def create(
    *,
    source: str,
    labels: tuple[str, ...],
    labels_csv: str = "",
    leads: str = ",".join(LEADS),
    sampling_rate: float = 0.0,
    unit: str = "",
    patient_column: str = "",
) -> Dataset:
    """Opens an array and its labels; the CSV's row i labels `array[i]`, see `attributes.read_recordings`.

    Args:
        source: A `.npy` file; it is memory-mapped.
        labels: Columns of the CSV, and what its `scp_codes` state.
        labels_csv: The CSV; if empty, the `.npy` file's name with `.csv`.
        leads: Names of the array's columns, separated by commas.
        sampling_rate: Hz; must be given, unless a sidecar states it.
        unit: One of `units.DECLARED`; must be given, unless a sidecar states it.
        patient_column: See `patients.parse`.

    Raises:
        InputError: when one of these is wrong, or a sidecar, which may state them too, contradicts it or is misspelled.
    """
    names = tuple(name.strip() for name in leads.split(","))
    stated, notes = _fill(source, Declared(names, sampling_rate, unit))
    sampling_rate, unit = stated.sampling_rate or 0.0, stated.unit
    if unit not in units.DECLARED:
        raise InputError(f"data.arrays.unit is {unit!r}; declare one of {', '.join(units.DECLARED)}")
    if not sampling_rate > 0:
        raise InputError(f"data.arrays.sampling_rate is {sampling_rate}; declare the array's rate in Hz")
    mapped = _Mapped(source, len(names))
    csv = labels_csv or os.path.splitext(source)[0] + ".csv"
    table = table_lib.read_table(csv)
    table_lib.require_rows(table, csv, len(mapped.array), source)
    known = attributes.read_recordings(table, csv, labels, patient_column=patient_column)
    ids = np.arange(len(mapped.array)).astype(str) if known["ids"] is None else known["ids"]
    return Dataset(
        name="arrays",
        read=functools.partial(_read, mapped, names, sampling_rate, unit, ids),
        **known | {"ids": ids, "notes": (*notes, *known["notes"])},
    )


def _fill(source: str, given: Declared) -> tuple[Declared, list[str]]:
    """What is given, and what a sidecar states beyond that."""
    if not sidecars.has_sidecar(source):
        return given, []
    said, notes = sidecars.read_sidecar(source)
    stated, different = sidecars.merge(("data.arrays", given), (sidecars.sidecar_path(source), said))
    if different:
        raise InputError(f"{source}: {different[0]}; correct one of them")
    sidecars.refuse_misspelled(source, sidecars.list_missing(stated))
    return stated, notes


class _Mapped:
    """The array in a file, which every process maps for itself."""

    def __init__(self, source: str, num_leads: int) -> None:
        self._opened = source, num_leads
        self.array = _open(source, num_leads)

    def __reduce__(self) -> tuple[type["_Mapped"], tuple[str, int]]:
        return _Mapped, self._opened


def _read(
    mapped: _Mapped, leads: tuple[str, ...], sampling_rate: float, unit: str, ids: np.ndarray, i: int
) -> Recording:
    return create_recording(
        mapped.array[i],
        leads=leads,
        sampling_rate=sampling_rate,
        id=str(ids[i]),
        millivolts_per_unit=units.DECLARED[unit],
        normalized=unit == "zscore",
        unit=units.DECLARED[unit],
    )


def _open(source: str, num_leads: int) -> np.ndarray:
    try:
        array = np.load(source, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{source or 'data.source'}: no such .npy file; pass --config.data.source=FILE.npy") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{source}: not a readable .npy array ({' '.join(str(error).split())})") from error
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[2] != num_leads:
        raise InputError(f"{source}: shape {getattr(array, 'shape', '?')}; expected [N, samples, {num_leads}]")
    return array
