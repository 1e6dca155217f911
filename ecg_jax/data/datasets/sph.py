"""SPH, Shandong Provincial Hospital (Liu et al. 2022, Sci Data 9:272; figshare).

`metadata.csv` and one HDF5 file per ECG, in `records/` or beside the table. Diagnoses are the primary statements of the
AHA/ACC/HRS standard (Mason et al. 2007, Circulation 115:1325) by number, separated by `;`, each followed by modifiers
after a `+`. Modifiers do not change whether a statement counts. The standard has no first degree AV block; its
statement for it is 82, prolonged PR interval.

Readers state every infarction, block and hypertrophy, so that one that is not stated is absent; what the standard has
no statement for is unknown. Normal (NORM) is statement 1 without any finding; any finding is abnormal. Statements on
quality, electrodes or plain sinus rhythm are no findings; a record with nothing else is neither.
"""

import functools
import os
import re

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.data.datasets import attributes, patients
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_file
from ecg_jax.data.readers import sph_hdf5

STATEMENTS = {  # PTB-XL's code: statements of the standard that say it
    "AMI": (160,),
    "ASMI": (165,),
    "LMI": (163,),
    "IMI": (161,),
    "PMI": (162,),
    "NST_": (145, 146),
    "LNGQT": (148,),
    "1AVB": (82,),
    "2AVB": (83, 84, 85, 86, 87),
    "3AVB": (88,),
    "CRBBB": (106,),
    "CLBBB": (104,),
    "IRBBB": (105,),
    "LAFB": (101,),
    "LPFB": (102,),
    "IVCD": (107,),
    "WPW": (108,),
    "LVH": (142, 144),
    "RVH": (143, 144),
    "LAO/LAE": (140,),
    "RAO/RAE": (141,),
    "LVOLT": (125,),
    "PAC": (30, 31),
    "PVC": (60,),
    "TAB_": (146, 147),
    "SBRAD": (22,),
    "STACH": (21,),
    "SARRH": (23,),
    "AFIB": (50,),
    "AFLT": (51,),
    "SVTAC": (55,),
    "PACE": (180, 181, 182, 183, 184, 185, 186, 187),
}
_CLASSES = {"MI": (166, 173, 174), "STTC": (153,)}  # without a statement of PTB-XL's
NORMAL = 1
_NO_FINDINGS = {1, 2, 3, 4, *range(10, 17), 20}  # overall, technical, sinus rhythm
_LIST = re.compile(r"[\d;+\s]*\d[\d;+\s]*")
_FIRST_SECONDARY = 200  # statements that suggest a cause, and modifiers, have higher numbers


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a folder of `metadata.csv` and records, with all of them or some.

    Its labels are `abnormal`, the superclasses, `STATEMENTS`, and any statement by its number (`AHA105`).
    """
    folder, csv, table = table_lib.open_folder("sph", source, "metadata.csv", ("ECG_ID", "AHA_Code", "Patient_ID"))
    names = [name.removesuffix(".h5") for name in table_lib.parse_text(table["ECG_ID"], csv)]
    table_lib.require_unique(np.array(names), table["ECG_ID"], csv)
    inside = "records" if os.path.isdir(os.path.join(folder, "records")) else ""
    paths = [os.path.join(folder, inside, name + ".h5") for name in names]
    table, paths, notes = table_lib.keep_present(table, paths, csv)
    ids = np.array([os.path.basename(path).removesuffix(".h5") for path in paths])
    return Dataset(
        name="sph",
        ids=ids,
        columns=label_lib.select(labels, derive_labels(table["AHA_Code"], csv), None, csv),
        patients=patients.parse(table, csv, "Patient_ID"),
        attributes=attributes.parse(table, csv, labels=labels),
        read=functools.partial(read_file, sph_hdf5.read, paths, ids),
        notes=tuple(notes),
    )


def derive_labels(column: pd.Series, csv: str) -> dict[str, np.ndarray]:
    """Computes `abnormal`, superclasses and every statement there is, `[N]` float32 in {1, 0, NaN}.

    Raises:
        InputError: naming the line, when a cell is not a list of numbers.
    """
    texts = table_lib.parse_text(column, csv)
    is_list = [bool(_LIST.fullmatch(text)) for text in texts]
    table_lib.require(np.array(is_list, bool), column, csv, "expected statements such as 22;60+310")
    found = [{code for code in map(int, re.findall(r"\d+", text)) if code < _FIRST_SECONDARY} for text in texts]

    def has(*numbers: int) -> np.ndarray:
        return np.array([not codes.isdisjoint(numbers) for codes in found], np.float32)

    # Extensive, beside LBBB, of the right ventricle: the wall of the infarction is open.
    may_be = dict.fromkeys(statements.MEMBERS["MI"], has(*_CLASSES["MI"]) == 1)
    vocabulary, _ = statements.derive_complete(
        {code: has(*numbers) for code, numbers in STATEMENTS.items()},
        may_be=may_be,
        classes={name: has(*numbers) == 1 for name, numbers in _CLASSES.items()},
        abnormal=np.array([_judge(codes) for codes in found], np.float32),
    )
    return vocabulary | {f"AHA{code}": has(code) for code in sorted(set().union(*found))}


def _judge(codes: set[int]) -> float:
    if codes - _NO_FINDINGS or 3 in codes:
        return 1.0
    return 0.0 if NORMAL in codes else np.nan
