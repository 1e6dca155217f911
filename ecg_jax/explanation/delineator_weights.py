"""The delineator's weights that ship: `pretrained/delineator.npz`, float16, and what was chosen with them."""

import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from ecg_jax import pretrained
from ecg_jax.errors import InputError

STEM = os.path.join(pretrained.FOLDER, "delineator")


class Delineator(NamedTuple):
    """A network and its choices."""

    params: Any  # of `delineation_network.DelineationNetwork`, float32
    thresholds: dict[str, float]  # by wave, of the mean probability over leads
    shifts: dict[str, np.ndarray]  # by wave, `[2]` seconds added to onset and offset
    provenance: dict[str, Any]  # command, steps, versions


@functools.cache
def load(stem: str = STEM) -> Delineator:
    """Reads weights.

    Raises:
        InputError: when a file is missing or damaged, or the checksum is not that of the arrays.
    """
    try:
        with open(f"{stem}.json") as file:
            described = json.load(file)
        with open(f"{stem}.npz", "rb") as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != described["sha256"]:
            raise ValueError("its checksum differs")
        with np.load(io.BytesIO(content)) as stored:
            arrays = {path: stored[path].astype(np.float32) for path in stored.files}
        return Delineator(
            params=traverse_util.unflatten_dict(arrays, sep="/"),
            thresholds=described["thresholds"],
            shifts={wave: np.array(shift) for wave, shift in described["shifts"].items()},
            provenance=described["provenance"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{stem}: the delineator cannot be read ({error}); reinstall the package") from error


def save(
    params: Any,
    thresholds: Mapping[str, float],
    shifts: Mapping[str, Sequence[float]],
    provenance: Mapping[str, Any],
    stem: str = STEM,
) -> None:
    """Writes what `load` reads; parameters are rounded to float16."""
    arrays = {path: np.asarray(each, np.float16) for path, each in traverse_util.flatten_dict(params, sep="/").items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    with open(f"{stem}.npz", "wb") as file:
        file.write(buffer.getvalue())
    described = {
        "thresholds": dict(thresholds),
        "shifts": {wave: [float(each) for each in shift] for wave, shift in shifts.items()},
        "provenance": dict(provenance),
        "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    with open(f"{stem}.json", "w") as file:
        json.dump(described, file, indent=1)
        file.write("\n")
