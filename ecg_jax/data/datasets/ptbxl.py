"""PTB-XL (Wagner et al. 2020, Sci Data 7:154; PhysioNet doi 10.13026/kfzx-aw45), in its own layout.

Labels are those of the vocabulary (`ecg_jax.statements`, which also says what `abnormal` is); `scp_codes` derives them
from a record's statements. The folder's `scp_statements.csv` is not needed: its content is in the vocabulary.

Traps: files at 100 Hz and 500 Hz are side by side; a likelihood of 0 in `scp_codes` means unknown likelihood, not
absence; some records carry no diagnostic statement.
"""

import functools
import os

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import attributes, patients, scp_codes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_file
from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError

_FILE_COLUMN = {100: "filename_lr", 500: "filename_hr"}


def create(*, source: str, labels: tuple[str, ...], sampling_rate: int = 500) -> Dataset:
    """Opens a folder of `ptbxl_database.csv` and records; `strat_fold` 1-8 trains, 9 validates, 10 tests.

    Its labels are `statements.LABELS`; `sampling_rate`, 100 or 500 Hz, chooses one of the two sets of files. A record
    that is missing among others is refused when it is read.
    """
    if sampling_rate not in _FILE_COLUMN:
        raise InputError(f"data.ptbxl.sampling_rate is {sampling_rate}; PTB-XL has files at 100 and 500 Hz")
    column = _FILE_COLUMN[sampling_rate]
    required = ("ecg_id", "scp_codes", "strat_fold", column)
    folder, csv, table = table_lib.open_folder("ptbxl", source, "ptbxl_database.csv", required)
    paths = [os.path.join(folder, name) for name in table_lib.parse_text(table[column], csv)]
    remedy = "download them, or try --config.data.ptbxl.sampling_rate=100 (or 500)"
    notes = table_lib.describe_absent(table, paths, [os.path.isfile(path + ".hea") for path in paths], csv, remedy)
    stated = scp_codes.parse(table[scp_codes.COLUMN], csv)
    ids = table_lib.parse_integer_ids(table["ecg_id"], csv)
    folds = table_lib.parse_folds(table["strat_fold"], csv)
    return Dataset(
        name="ptbxl",
        ids=ids,
        columns=label_lib.select(labels, scp_codes.derive(stated), None, csv),
        split=table_lib.split_by_fold(folds),
        folds=folds,
        origins=scp_codes.read_origins(table, csv),
        patients=patients.parse(table, csv),
        attributes=attributes.parse(table, csv, attributes.PTBXL_SEXES, labels),
        read=functools.partial(read_file, wfdb.read, paths, ids),
        notes=(*notes, *scp_codes.describe_strange(stated, csv)),
    )
