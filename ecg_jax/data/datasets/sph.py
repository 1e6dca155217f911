"""SPH, Shandong Provincial Hospital (Liu et al. 2022, Sci Data 9:272; figshare).

`metadata.csv` and one HDF5 file per ECG, in `records/` or beside the table. Diagnoses are
the primary statements of the AHA/ACC/HRS standard (Mason et al. 2007, Circulation
115:1325) by number, separated by `;`, each followed by modifiers after a `+`. Modifiers do
not change whether a statement counts. The standard has no first degree AV block; its
statement for it is 82, prolonged PR interval.

Normal is statement 1 without any finding; any finding is abnormal. Statements on quality,
electrodes or plain sinus rhythm are no findings; a record with nothing else is neither.
"""

import os
import re

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import patients
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.datasets.table import (
    keep_present,
    parse_attributes,
    parse_text,
    read_table,
    require_folder,
    require_unique,
)
from ecg_jax.data.readers import sph_hdf5
from ecg_jax.errors import InputError

SIX_STATEMENTS = {"1dAVb": 82, "RBBB": 106, "LBBB": 104, "SB": 22, "AF": 50, "ST": 21}
NORMAL = 1
_NO_FINDINGS = {1, 2, 3, 4, *range(10, 17), 20}  # overall, technical, sinus rhythm
_FIRST_SECONDARY = 200  # statements that suggest a cause, and modifiers, have higher numbers


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens an SPH folder, with all of its records or some.

    Args:
        source: The folder that holds `metadata.csv`.
        labels: Of the six diagnoses, `abnormal`, and any statement by its number (`AHA105`).
        seed: Unused: nothing is drawn.

    Raises:
        InputError: on missing files or columns, or a statement that is no number.
    """
    del seed
    folder = require_folder("sph", source)
    csv = os.path.join(folder, "metadata.csv")
    table = read_table(csv, ("ECG_ID", "AHA_Code", "Patient_ID"))
    names = [name.removesuffix(".h5") for name in parse_text(table["ECG_ID"], csv)]
    require_unique(np.array(names), table["ECG_ID"], csv)
    inside = "records" if os.path.isdir(os.path.join(folder, "records")) else ""
    paths = [os.path.join(folder, inside, name + ".h5") for name in names]
    table, paths, notes = keep_present(table, paths, [os.path.isfile(path) for path in paths], csv)
    ids = np.array([os.path.basename(path).removesuffix(".h5") for path in paths])
    return Dataset(
        name="sph",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(table["AHA_Code"], csv), None, csv),
        patients=patients.parse(table, csv, "Patient_ID"),
        attributes=parse_attributes(table, csv),
        read=lambda i: sph_hdf5.read(paths[i], str(ids[i])),
        notes=tuple(notes),
    )


def derive_labels(column: pd.Series, csv: str) -> dict[str, np.ndarray]:
    """Computes the six, `abnormal` and every statement there is, `[N]` float32 in {1, 0, NaN}.

    Raises:
        InputError: naming the line, when a cell is no list of numbers.
    """
    texts = parse_text(column, csv)
    for text, row in zip(texts, column.index, strict=True):
        if not re.fullmatch(r"[\d;+\s]*\d[\d;+\s]*", text):
            raise InputError(
                f"{csv}: line {row + 2}, column 'AHA_Code' holds {text!r}; expected statements such as 22;60+310"
            )
    found = [{code for code in map(int, re.findall(r"\d+", text)) if code < _FIRST_SECONDARY} for text in texts]

    def has(code: int) -> np.ndarray:
        return np.array([float(code in codes) for codes in found], np.float32)

    columns = {name: has(code) for name, code in SIX_STATEMENTS.items()}
    columns[label_lib.ABNORMAL] = np.array([_judge(codes) for codes in found], np.float32)
    return columns | {f"AHA{code}": has(code) for code in sorted(set().union(*found))}


def _judge(codes: set[int]) -> float:
    if codes - _NO_FINDINGS or 3 in codes:
        return 1.0
    return 0.0 if NORMAL in codes else np.nan
