"""Who trains, who validates, who tests: splits that keep a patient on one side."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from ecg_jax.data.datasets.dataset import Dataset

FRACTIONS = (0.8, 0.1, 0.1)


def split_by_patient(patients: Sequence[object] | np.ndarray, seed: int) -> np.ndarray:
    """Draws train, validation and test (80, 10, 10 %), whole patients at a time.

    Patients are ordered by a hash of their id and `seed`, so that the split depends on
    neither file order nor library versions. With three patients or more no split is empty.

    Args:
        patients: One id per recording.
        seed: Chooses the split.

    Returns:
        `[recordings]` array of `train`, `validation`, `test`.
    """
    names = sorted(set(map(str, patients)), key=lambda p: hashlib.sha256(f"{seed}/{p}".encode()).digest())
    held_out = max(1, round(len(names) * FRACTIONS[2])) if len(names) >= 3 else 0
    sides = ["test"] * held_out + ["validation"] * held_out
    side = dict(zip(names, sides + ["train"] * (len(names) - len(sides)), strict=True))
    return np.array([side[str(patient)] for patient in patients])


def assign(dataset: Dataset, seed: int) -> Dataset:
    """Returns the data set with a split: its own, or one that `seed` draws, whole patients at a time."""
    if dataset.split is not None:
        return dataset
    patients = dataset.ids if dataset.patients is None else dataset.patients
    return dataclasses.replace(dataset, split=split_by_patient(patients, seed))
