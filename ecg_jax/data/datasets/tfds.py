"""A data set that the builders wrote with tensorflow-datasets; see `ecg_jax.data.datasets.builders`.

An index beside its files holds what is known of the records, so that opening reads none of them.
"""

import functools
import glob
import os

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import attributes
from ecg_jax.data.datasets.dataset import Dataset, read_row
from ecg_jax.data.datasets.table import parse_ids, parse_integers, read_table
from ecg_jax.errors import InputError

INDEX = "index.csv"
INFO = "dataset_info.json"
FACTS = ("id", "split", "patient_id", "sex", "age", "source", "fold")  # the other columns of the index are labels


def create(*, source: str, labels: tuple[str, ...]) -> Dataset:
    """Opens a built data set, with the split of its files and any labels of its records.

    `source` is its folder, as `DATA_DIR/ptbxl/500hz/1.0.0`, or one above it if that holds no other; of several versions
    the newest is opened.
    """
    from ecg_jax.data.datasets.builders.files import Files  # takes a while to import

    folder = find(source)
    csv = os.path.join(folder, INDEX)
    table = read_table(csv, ("id", "split"))
    ids = parse_ids(table["id"], csv)
    known = attributes.read_known_columns(table, csv, labels=labels)
    if "source" in table:
        known["attributes"]["source"] = table["source"].fillna("").to_numpy(str)
    if "fold" in table:
        known["folds"] = parse_integers(table["fold"], csv)
    files = Files(folder, known["split"])
    return Dataset(
        name="tfds",
        ids=ids,
        columns=label_lib.select(labels, {}, table.drop(columns=list(FACTS), errors="ignore"), csv),
        read=functools.partial(read_row, files.read, ids),
        notes=files.notes,
        **known,
    )


def find(source: str) -> str:
    """The folder of the one built data set at or below `source`, in its newest version; else raises `InputError`."""
    below = [path for depth in range(4) for path in glob.glob(os.path.join(source, *"*" * depth, INFO))]
    folders = [os.path.dirname(path) for path in below if "incomplete." not in path]
    if not source or not folders:
        raise InputError(
            f"data set tfds: no {INFO} at or below {source!r}; pass --config.data.source=DATA_DIR/NAME, and see "
            "ecg-jax build_tfds --help for how to build one"
        )
    versions = {os.path.dirname(folder): folder for folder in sorted(folders, key=_parse_version)}
    if len(versions) > 1:
        raise InputError(f"data set tfds: {source} holds {', '.join(sorted(versions))}; pass one of them as the source")
    return next(iter(versions.values()))


def _parse_version(folder: str) -> list[int]:
    return [int(part) for part in os.path.basename(folder).split(".") if part.isdigit()]
