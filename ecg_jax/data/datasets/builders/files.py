"""The files of a built data set, read record by record.

A folder may come from anyone, and TFDS imports whatever module a folder's `features.json` names. Here the features are
those of this package, and the names of the files follow from the data set's name and the split: nothing in the folder
names code or a path.
"""

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core import naming

from ecg_jax.data.datasets.builders import records
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.errors import InputError, describe
from ecg_jax.recording import Recording


class Files:
    """An open data set; row i is record i of its splits, one after the other. `notes` are those of its build."""

    def __init__(self, folder: str, split: np.ndarray) -> None:
        """Opens the files in the folder of `dataset_info.json`; `split` `[N]` is that of each record.

        Raises:
            InputError: when TFDS cannot read them, or they do not hold these records.
        """
        self._folder = folder
        self._features = records.select_recording(records.create_features(()))
        try:
            with open(os.path.join(folder, "metadata.json"), encoding="utf-8") as file:
                stated = dict(json.load(file))
            with open(os.path.join(folder, "dataset_info.json"), encoding="utf-8") as file:
                self._sources = _open_splits(folder, json.load(file))
            notes = tuple(map(str, stated.get("notes", ())))
        except Exception as error:  # array_record documents none
            raise InputError(f"{folder}: TFDS cannot read this data set ({describe(error)}); build it again") from error
        if wrong := [f"{key} {stated.get(key)}" for key, value in records.METADATA.items() if stated.get(key) != value]:
            raise InputError(f"{folder}: not a data set of this project's builders ({', '.join(wrong)})")
        sizes = {name: int((split == name).sum()) for name in SPLITS if (split == name).any()}
        if sizes != {name: len(source) for name, source in self._sources.items()}:
            raise InputError(f"{folder}: its index and its files disagree about the number of records; build it again")
        self._places = [(name, i) for name, size in sizes.items() for i in range(size)]
        self.notes = notes

    def read(self, row: int, id: str) -> Recording:
        """Reads a record in millivolts.

        Raises:
            InputError: when its file is damaged, or holds another recording there.
        """
        split, i = self._places[row]
        try:
            recording = records.decode(self._features.deserialize_example_np(self._sources[split][i]))
        except Exception as error:  # array_record documents none
            raise InputError(f"{self._folder}: record {i} of {split} is damaged ({describe(error)})") from error
        if recording.id != id:
            raise InputError(
                f"{os.path.join(self._folder, 'index.csv')}: {id} should be record {i} of {split}, but that is "
                f"{recording.id}; build the data set again"
            )
        return recording


def _open_splits(folder: str, info: dict[str, Any]) -> dict[str, Sequence[bytes]]:
    """The records of every split as bytes, from the files that a builder of this name writes."""
    if not re.fullmatch(r"\w+", info["name"]) or info.get("fileFormat") != "array_record":
        raise ValueError(f"name {info['name']!r}, format {info.get('fileFormat')!r}; expected a word and array_record")
    return {split["name"]: _open_split(folder, info["name"], split) for split in info["splits"]}


def _open_split(folder: str, dataset: str, split: dict[str, Any]) -> Sequence[bytes]:
    if split["name"] not in SPLITS:
        raise ValueError(f"split {split['name']!r}; known: {', '.join(SPLITS)}")
    lengths = [int(length) for length in split["shardLengths"]]
    if min(lengths, default=0) < 0 or sum(lengths) > sys.maxsize:
        raise ValueError(f"shards of {', '.join(map(str, lengths))[:80]} records")
    template = naming.ShardedFileTemplate(
        folder, dataset_name=dataset, split=split["name"], filetype_suffix="array_record"
    )
    parts = tfds.core.SplitInfo(
        name=split["name"], shard_lengths=lengths, num_bytes=0, filename_template=template
    ).file_instructions
    return ArrayRecordDataSource(parts)
