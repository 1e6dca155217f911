"""The files of a built data set, read record by record."""

import os

import numpy as np
import tensorflow_datasets as tfds

from ecg_jax.data.datasets.builders import records
from ecg_jax.data.datasets.dataset import SPLITS
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording


class Files:
    """An open data set; row i is record i of its splits, one after the other.

    Attributes:
        notes: What was worth telling when it was built.
    """

    def __init__(self, folder: str, split: np.ndarray) -> None:
        """Opens the files.

        Args:
            folder: Where `dataset_info.json` lies.
            split: `[N]` str, of each record.

        Raises:
            InputError: when TFDS cannot read them, or they do not hold these records.
        """
        self._folder = folder
        try:
            builder = tfds.builder_from_directory(folder)
            self._features = records.select_recording(builder.info.features)
            self._sources = builder.as_data_source(deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
            stated = dict(builder.info.metadata or {})
        except Exception as error:  # TFDS documents none
            raise InputError(
                f"{folder}: TFDS cannot read this data set ({_describe(error)}); build it again"
            ) from error
        if wrong := [f"{key} {stated.get(key)}" for key, value in records.METADATA.items() if stated.get(key) != value]:
            raise InputError(f"{folder}: not a data set of this project's builders ({', '.join(wrong)})")
        sizes = {name: int((split == name).sum()) for name in SPLITS if (split == name).any()}
        if sizes != {name: len(source) for name, source in self._sources.items()}:
            raise InputError(f"{folder}: its index and its files disagree about the number of records; build it again")
        self._places = [(name, i) for name, size in sizes.items() for i in range(size)]
        self.notes = tuple(stated.get("notes", ()))

    def read(self, row: int, id: str) -> Recording:
        """Reads a record in millivolts.

        Raises:
            InputError: when its file is damaged, or holds another recording there.
        """
        split, i = self._places[row]
        try:
            recording = records.decode(self._features.deserialize_example_np(self._sources[split][i]))
        except Exception as error:  # array_record documents none
            raise InputError(f"{self._folder}: record {i} of {split} is damaged ({_describe(error)})") from error
        if recording.id != id:
            raise InputError(
                f"{os.path.join(self._folder, 'index.csv')}: {id} should be record {i} of {split}, but that is "
                f"{recording.id}; build the data set again"
            )
        return recording


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
