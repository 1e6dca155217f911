"""Who trains, who validates, who tests: splits that keep a patient on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_jax.errors import InputError

SPLITS = ("train", "validation", "test")
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


def parse_split_column(column: pd.Series, source: str) -> np.ndarray:
    """Reads a CSV column that says `train`, `validation` (or `val`) or `test`.

    Raises:
        InputError: naming the line and the value found.
    """
    values = column.astype(str).str.strip().str.lower().replace({"val": "validation", "valid": "validation"})
    bad = np.flatnonzero(~values.isin(SPLITS))
    if bad.size:
        line, value = column.index[bad[0]] + 2, column.iloc[bad[0]]
        raise InputError(f"{source}: line {line}, column 'split' holds {value!r}; expected {', '.join(SPLITS)}")
    return values.to_numpy(str)
