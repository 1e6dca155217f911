"""The reference's own layout: one HDF5 with `tracings`, and a CSV whose row i labels tracing i."""

import functools
import glob
import os

import numpy as np

from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_row
from ecg_jax.data.readers import code_hdf5
from ecg_jax.errors import InputError


def create(
    *,
    source: str,
    labels: tuple[str, ...],
    labels_csv: str = "",
    patient_column: str = "",
    validation_fraction: float = 0.02,
    test_fraction: float = 0.02,
) -> Dataset:
    """Opens an HDF5 file of tracings and its row-aligned CSV; see `attributes.read_recordings`.

    The reference validates on the last 2 % of the file and tests on another file; here the stretch before the
    validation stretch is the test split. A `split` or `strat_fold` column in the CSV overrides both.

    Args:
        source: The HDF5 file.
        labels: Columns of the CSV, and what its `scp_codes` state.
        labels_csv: The CSV; if empty, the only CSV in the HDF5 file's folder.
        patient_column: See `patients.parse`.
        validation_fraction: Part of the file, at its end, that validates.
        test_fraction: Part before it that tests.
    """
    csv = labels_csv or _find_csv(source)
    table = table_lib.read_table(csv)
    ids = code_hdf5.read_ids(source).astype(str)
    table_lib.require_rows(table, csv, len(ids), source)
    if not (validation_fraction >= 0 and test_fraction >= 0 and validation_fraction + test_fraction < 1):
        raise InputError(
            f"data.code: fractions {validation_fraction} and {test_fraction}; each at least 0, together below 1"
        )
    known = attributes.read_recordings(table, csv, labels, id_column=None, patient_column=patient_column)
    if known["split"] is None:
        validation, test = (round(fraction * len(ids)) for fraction in (validation_fraction, test_fraction))
        known["split"] = np.repeat(["train", "test", "validation"], [len(ids) - validation - test, test, validation])
    known["ids"] = ids  # those of the HDF5 file
    return Dataset(
        name="code", read=functools.partial(read_row, functools.partial(code_hdf5.read, source), ids), **known
    )


def _find_csv(source: str) -> str:
    beside = glob.glob(os.path.join(os.path.dirname(os.path.abspath(source)), "*.csv"))
    if len(beside) != 1:
        raise InputError(
            f"{source}: {len(beside)} CSV files are beside it; name one with --config.data.code.labels_csv=FILE"
        )
    return beside[0]
