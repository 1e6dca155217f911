"""CODE-15% (Ribeiro et al. 2021, Zenodo 4916206): `exams.csv` and `exams_part*.hdf5`.

Traps: `exams.csv` is not in file order (exams are joined by `exam_id` within their `trace_file`); every part ends with
an all-zero exam 0 that is not an exam; patients repeat. No flag is not normal: `abnormal` is the opposite of
`normal_ecg`, which is also NORM. The six flags are of the superclass CD, or rhythms; nothing else is known, so that CD
is 1 or, where the ECG is normal, 0.
"""

import functools
import os

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.data.datasets import attributes, patients
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.readers import code_hdf5
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

NORMAL = "normal_ecg"


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a folder of `exams.csv` and all of the `exams_part*.hdf5`, or some of them.

    Its labels are the six diagnoses, `abnormal`, NORM, CD, and any other 0/1 column of `exams.csv`. An exam of one
    damaged part among others is refused when it is read.
    """
    folder, csv, table = table_lib.open_folder("code15", source, "exams.csv", ("exam_id", "patient_id", "trace_file"))
    names = table_lib.parse_text(table["trace_file"], csv)
    here = {str(name): os.path.isfile(os.path.join(folder, name)) for name in np.unique(names)}
    parts = [name for name, is_here in here.items() if is_here]
    if not parts:
        raise InputError(
            f"{csv}: none of its files is in {folder}, the first {next(iter(here))}; download at least one part"
        )
    stored, damaged, degenerate = _list_exams(folder, parts)
    is_listed = np.isin(names, parts)
    listed, names = table[is_listed], names[is_listed]
    keys = pd.MultiIndex.from_arrays([names, table_lib.parse_integers(listed["exam_id"], csv)])
    rows = stored.reindex(keys, fill_value=-1).to_numpy()
    found = (rows >= 0) | np.isin(names, [*damaged])
    if not found.any():
        raise InputError(
            f"{csv}: none of its {len(keys)} exam_id is in the files it names; is it the CSV that belongs to them?"
        )
    table, names, rows = listed[found], names[found], rows[found]
    derived = derive_labels(table, csv)
    ids = table_lib.parse_integer_ids(table["exam_id"], csv)
    notes = []
    if absent := len(here) - len(parts):
        notes.append(f"{absent} of {len(here)} parts are not in {folder}; their exams are left out")
    if not found.all():
        notes.append(f"{np.count_nonzero(~found)} exams of exams.csv are not in the files it names; left out")
    unlisted = len(stored) - np.count_nonzero(rows >= 0)
    if unlisted or degenerate:
        notes.append(f"{degenerate} degenerate and {unlisted} unlisted rows of the HDF5 files are left out")
    notes += [f"a part is damaged, none of its exams can be read: {why}" for why in damaged.values()]

    return Dataset(
        name="code15",
        ids=ids,
        columns=label_lib.select(labels, derived, table, csv),
        patients=patients.parse(table, csv, "patient_id"),
        attributes=attributes.parse(table, csv, labels=labels),
        read=functools.partial(_read, folder, names, rows, ids, damaged),
        notes=tuple(notes),
    )


def _read(
    folder: str, names: np.ndarray, rows: np.ndarray, ids: np.ndarray, damaged: dict[str, str], i: int
) -> Recording:
    if names[i] in damaged:
        raise InputError(f"exam {ids[i]}: {damaged[names[i]]}; download this part again")
    return code_hdf5.read(os.path.join(folder, names[i]), int(rows[i]), id=str(ids[i]), declared=code_hdf5.CODE)


def derive_labels(table: pd.DataFrame, csv: str) -> dict[str, np.ndarray]:
    """`abnormal`, NORM and CD, `[N]` float32 in {1, 0, NaN}; empty without the column `normal_ecg`."""
    if NORMAL not in table:
        return {}
    normal = label_lib.parse_column(table[NORMAL], csv)
    flags = {statements.SIX[name]: label_lib.parse_column(table[name], csv) for name in label_lib.SIX if name in table}
    unknown = np.full(len(table), np.nan, np.float32)
    derived = statements.derive(flags | {statements.NORMAL: normal}, unknown, abnormal=1 - normal)
    return {name: derived[name] for name in (label_lib.ABNORMAL, statements.NORMAL, "CD")}


def _list_exams(folder: str, names: list[str]) -> tuple[pd.Series, dict[str, str], int]:
    """The row of each exam, by file and exam; what is wrong with each damaged file; how many exams 0 there are.

    Raises:
        InputError: when every file is damaged.
    """
    frames: list[pd.DataFrame] = []
    damaged: dict[str, str] = {}
    degenerate = 0
    for name in names:
        try:
            exams = code_hdf5.read_ids(os.path.join(folder, name))
        except InputError as error:
            damaged[name] = str(error)
            continue
        degenerate += int(np.count_nonzero(exams == 0))
        frames.append(pd.DataFrame({"file": name, "exam": exams, "row": np.arange(len(exams))})[exams != 0])
    if not frames:
        raise InputError(f"{next(iter(damaged.values()))}; download it again")
    keys = ["file", "exam"]
    return pd.concat(frames).drop_duplicates(keys, keep="last").set_index(keys)["row"], damaged, degenerate
