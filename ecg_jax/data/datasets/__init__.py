"""One data set each: where its files are and what its labels mean."""

from collections.abc import Callable, Mapping
from typing import Any

from ecg_jax import labels as label_lib
from ecg_jax.data import splits
from ecg_jax.data.datasets import arrays, code, code15, folder, ptbxl, simulated
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError

DATASETS: dict[str, Callable[..., Dataset]] = {
    "arrays": arrays.create,
    "code": code.create,
    "code15": code15.create,
    "folder": folder.create,
    "ptbxl": ptbxl.create,
    "simulated": simulated.create,
}


def create(dataset: str, *, source: str, labels: str, seed: int, options: Mapping[str, Mapping[str, Any]]) -> Dataset:
    """Opens a data set by name.

    Args:
        dataset: One of `DATASETS`.
        source: Where its files are.
        labels: See `labels.resolve`.
        seed: For splits that are drawn, and for the simulator.
        options: Each data set's own keyword arguments, by its name.

    Raises:
        InputError: on an unknown name, and whatever is wrong with the files.
    """
    if dataset not in DATASETS:
        raise InputError(f"data.dataset is {dataset!r}; known: {', '.join(DATASETS)}")
    opened = DATASETS[dataset](source=source, labels=label_lib.resolve(labels), seed=seed, **options.get(dataset, {}))
    opened = splits.assign(opened, seed)
    if not len(opened.indices("train")):
        raise InputError(f"data set {dataset}: no recording to train on among {len(opened.ids)}")
    return opened
