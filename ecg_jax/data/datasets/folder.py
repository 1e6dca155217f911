"""Your own recordings: a CSV with a `path` column and one column per label."""

import glob
import os

from ecg_jax import labels as label_lib
from ecg_jax.data import splits
from ecg_jax.data.datasets.dataset import Dataset, parse_text, read_table
from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError


def create(*, source: str, labels: tuple[str, ...], seed: int) -> Dataset:
    """Opens a CSV of WFDB records.

    Columns: `path` (relative to the CSV, with or without a suffix), the labels (1, 0 or
    empty for unknown), and if you have them `id`, `split` (`train`, `validation`,
    `test`) and `patient_id` (keeps a patient's recordings in one split).

    Args:
        source: The CSV, or a folder with exactly one.
        labels: Label columns.
        seed: Chooses the split where the CSV has no `split` column.

    Raises:
        InputError: on missing files or columns, or values that are no labels.
    """
    csv = _find_csv(source)
    table = read_table(csv, ("path",))
    base = os.path.dirname(os.path.abspath(csv))
    names = parse_text(table["path"], csv)
    paths = [
        os.path.join(base, os.path.splitext(name)[0] if name.endswith((".hea", ".dat", ".mat")) else name)
        for name in names
    ]
    absent = [path for path in paths if not os.path.isfile(path + ".hea")]
    if absent:
        raise InputError(f"{csv}: {len(absent)} of its {len(paths)} records are not there, the first {absent[0]}.hea")
    ids = parse_text(table["id"], csv) if "id" in table else names
    if "split" in table:
        split = splits.parse_split_column(table["split"], csv)
    else:
        split = splits.split_by_patient(parse_text(table["patient_id"], csv) if "patient_id" in table else ids, seed)
    return Dataset(
        name="folder",
        ids=ids,
        label_names=labels,
        labels=label_lib.select(labels, {}, table, csv),
        split=split,
        read=lambda i: wfdb.read(paths[i], id=str(ids[i])),
    )


def _find_csv(source: str) -> str:
    if os.path.isfile(source):
        return source
    found = glob.glob(os.path.join(source, "*.csv")) if source else []
    if len(found) != 1:
        raise InputError(
            f"data set folder: {len(found)} CSV files in {source!r}; pass the one with --config.data.source=FILE.csv"
        )
    return found[0]
