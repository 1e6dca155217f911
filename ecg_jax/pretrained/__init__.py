"""Weights that ship with the package: `simulated`, trained on simulated ECGs only, and `real`, on real ones as well.

NAME.npz holds arrays by path in float16, NAME.json what they need: the network, the input contract, labels,
calibration, thresholds, a checksum, their provenance, and results on real ECGs. NAME.md is their card. The weights of
`explanation.delineation` are read by `explanation.delineator_weights`.
"""

import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.trained_on import TrainedOn

SIMULATED, REAL = "simulated", "real"
DEFAULT = REAL
# Names, and the stem of their files.
FILES = {REAL: REAL, SIMULATED: SIMULATED, "demonstration": SIMULATED}
_USE = "for research and as a starting point for fine-tuning, not for clinical use."
NOTICES = {
    SIMULATED: f"Trained on simulated ECGs only, {_USE}",
    REAL: f"Trained on simulated ECGs and on some of PTB-XL's, {_USE}",
}
TRAINED_ON = {  # see their cards
    REAL: {"ptbxl": TrainedOn("part of folds 1 to 8", trained=tuple(range(1, 9)), chosen=(9,))},
    SIMULATED: {},
}
FOLDER = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass(frozen=True)
class Shipped:
    """Weights and what they need."""

    arrays: dict[str, np.ndarray]  # by path, float32
    model: dict[str, Any]  # keywords of `models.create`
    contract: dict[str, Any]  # of the input; see `contract.InputContract`
    labels: list[str]  # of the outputs, in order
    calibration: dict[str, Any]  # see `evaluation.calibration.Calibration`; fitted on simulated ECGs
    thresholds: dict[str, float]  # of calibrated probabilities, by label; chosen on simulated ECGs
    unchosen: list[str]  # labels with the default threshold, for lack of positives or negatives
    provenance: dict[str, Any]  # command, seed, commit and versions
    results: list[dict[str, Any]]  # on real ECGs: a row per data set and label


def read(name: str = DEFAULT, folder: str = FOLDER) -> Shipped:
    """Reads weights by name, one of `FILES`.

    Raises:
        InputError: when a file is missing or damaged, or the checksum is not that of the arrays.
    """
    stem = os.path.join(folder, FILES[name])
    remedy = "reinstall the package"
    try:
        with open(f"{stem}.json") as file:
            described = json.load(file)
        with open(f"{stem}.npz", "rb") as file:
            content = file.read()
        expected = described.pop("sha256")
        fields = {field.name for field in dataclasses.fields(Shipped)}
        if described.keys() | {"arrays"} != fields:
            raise ValueError(f"it has {', '.join(described)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{stem}: the weights {name} cannot be read ({error}); {remedy}") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise InputError(f"{stem}.npz: its checksum is not that of the weights {name}; {remedy}")
    with np.load(io.BytesIO(content)) as stored:
        arrays = {path: stored[path].astype(np.float32) for path in stored.files}
    return Shipped(arrays=arrays, **described)


def write(
    arrays: Mapping[str, np.ndarray], described: Mapping[str, Any], name: str = DEFAULT, folder: str = FOLDER
) -> None:
    """Writes what `read` reads: arrays by path, rounded to float16, and the other attributes of `Shipped`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{path: each.astype(np.float16) for path, each in arrays.items()})
    content = buffer.getvalue()
    stem = os.path.join(folder, FILES[name])
    with open(f"{stem}.npz", "wb") as file:
        file.write(content)
    with open(f"{stem}.json", "w") as file:
        json.dump({**described, "sha256": hashlib.sha256(content).hexdigest()}, file, indent=1)
        file.write("\n")
