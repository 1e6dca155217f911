"""MIMIC-IV-ECG 1.0 (Gow et al. 2023, PhysioNet doi 10.13026/4nqg-sb35), in its own layout.

`record_list.csv` names about 800,000 studies of 160,000 patients, one WFDB record each
(`files/p1000/p10000032/s40689238/40689238`). It has no diagnoses of its own: bring a CSV with a column `study_id` and
label columns, made from MIMIC-IV's or from reports.

Trap: aVF is stored before aVL. The headers name their leads, and leads are matched by name.
"""

import functools
import os
from typing import Any

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets import table as table_lib
from ecg_jax.data.datasets.dataset import Dataset, read_file
from ecg_jax.data.readers import wfdb
from ecg_jax.errors import InputError


def create(*, source: str, labels: tuple[str, ...], labels_csv: str = "") -> Dataset:
    """Opens a folder of `record_list.csv` and `files/`, with all of its records or some.

    `labels_csv` is a table of `study_id` and labels, and optionally `split`, `age` and `sex`. Studies that are not in
    it are left out. Without it there are no labels, which is enough for a conversion alone.
    """
    folder, csv, table = table_lib.open_folder(
        "mimic_iv_ecg", source, "record_list.csv", ("subject_id", "study_id", "path")
    )
    notes: list[str] = []
    labeled = table_lib.read_table(labels_csv, ("study_id",)) if labels_csv else None
    if labeled is not None:
        table, notes = _keep_labeled(table, csv, labeled["study_id"], labels_csv)
    elif labels != label_lib.ALL and not isinstance(labels, label_lib.Offered | label_lib.Numbers):
        raise InputError(
            f"{folder}: MIMIC-IV-ECG has no labels of its own; pass --config.data.mimic_iv_ecg.labels_csv=FILE.csv "
            "with a column study_id and label columns"
        )
    paths = [os.path.join(folder, path) for path in table_lib.parse_text(table["path"], csv)]
    table, paths, absent = table_lib.keep_present(table, paths, csv, ".hea")
    ids = table_lib.parse_integer_ids(table["study_id"], csv)
    known: dict[str, Any] = {"columns": {}}
    if labeled is not None:
        known = _align_labels(labeled, ids, labels, labels_csv)
        notes += label_lib.describe_choice(labels, labeled)
    return Dataset(
        name="mimic_iv_ecg",
        ids=ids,
        **known,
        patients=table_lib.parse_integers(table["subject_id"], csv).astype(str),
        read=functools.partial(read_file, wfdb.read, paths, ids),
        notes=(*notes, *absent),
    )


def _keep_labeled(table: pd.DataFrame, csv: str, labeled: pd.Series, labels_csv: str) -> tuple[pd.DataFrame, list[str]]:
    """Keeps the studies that are in the table of labels, with notes on how many are not."""
    wanted = table_lib.parse_integers(labeled, labels_csv)
    table_lib.require_unique(wanted, labeled, labels_csv)
    keep = np.isin(table_lib.parse_integers(table["study_id"], csv), wanted)
    if not keep.any():
        raise InputError(f"{labels_csv}: none of its {len(wanted)} study_id is in {csv}")
    notes = [] if keep.all() else [f"{(~keep).sum()} studies have no row in {labels_csv}; left out"]
    unlisted = len(wanted) - int(keep.sum())
    return table[keep], notes + ([f"{unlisted} rows of {labels_csv} are of no study in {csv}"] if unlisted else [])


def _align_labels(labeled: pd.DataFrame, ids: np.ndarray, names: tuple[str, ...], labels_csv: str) -> dict[str, Any]:
    """Columns, split and attributes, one row per study of `ids`."""
    place = pd.Index(table_lib.parse_integers(labeled["study_id"], labels_csv).astype(str))
    rows = labeled.iloc[place.get_indexer(ids)].drop(columns="study_id")
    known = attributes.read_known_columns(rows.drop(columns="patient_id", errors="ignore"), labels_csv, labels=names)
    del known["patients"]  # `subject_id` is
    known["columns"] = label_lib.select(names, {}, rows, labels_csv)
    return known
