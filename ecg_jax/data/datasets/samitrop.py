"""SaMi-Trop (Ribeiro et al. 2021, Zenodo 4905618): 1,631 patients with Chagas cardiomyopathy, one ECG each.

`exams.hdf5` holds `tracings` [1631, 4096, 12] at 400 Hz in CODE's units, and row i of `exams.csv` describes tracing i.
It annotates none of the six diagnoses. No flag is not normal: `abnormal` is the opposite of `normal_ecg`, which is also
NORM; `death` is another label.
"""

import functools
import os

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_row
from ecg_jax.data.readers import code_hdf5
from ecg_jax.errors import InputError


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a folder of `exams.csv` and `exams.hdf5` (unpacked from `exams.zip`).

    Its labels are `abnormal`, NORM, `death`, and any other 0/1 column of `exams.csv`.
    """
    folder, csv, table = table_lib.open_folder("samitrop", source, "exams.csv", ("exam_id", "normal_ecg"))
    file = os.path.join(folder, "exams.hdf5")
    if not os.path.isfile(file):
        raise InputError(f"{file}: no such file; unpack exams.zip there")
    exams, numbers = table_lib.parse_integers(table["exam_id"], csv), code_hdf5.read_ids(file)
    table_lib.require_rows(table, csv, len(numbers), file)
    if not np.array_equal(numbers, np.arange(len(numbers))) and not np.array_equal(numbers, exams):
        raise InputError(f"{csv}: its exam_id are not those of {file}, row by row; is it the CSV that belongs to it?")
    ids = table_lib.parse_integer_ids(table["exam_id"], csv)
    normal = label_lib.parse_column(table["normal_ecg"], csv)
    derived = {label_lib.ABNORMAL: 1 - normal, statements.NORMAL: normal}
    return Dataset(
        name="samitrop",
        ids=ids,
        columns=label_lib.select(labels, derived, table, csv),
        attributes=attributes.parse(table, csv, labels=labels),
        read=functools.partial(read_row, functools.partial(code_hdf5.read, file, declared=code_hdf5.CODE), ids),
    )
