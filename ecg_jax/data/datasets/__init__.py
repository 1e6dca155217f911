"""One data set each: where its files are and what its labels mean.

Each module's `create(source=, labels=, ...)` opens one: `labels` are as `labels.resolve` returns them, other keywords
are the data set's own settings. It raises `InputError`, naming the line of a table, on missing files or columns, values
that are not what they should be, and labels that it does not have.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from ecg_jax import files, kinds
from ecg_jax import labels as label_lib
from ecg_jax.data import splits
from ecg_jax.data.datasets import (
    arrays,
    challenge2021,
    code,
    code15,
    combined,
    folder,
    ludb,
    mimic_iv_ecg,
    prepared,
    ptbxl,
    samitrop,
    simulated,
    sph,
    tfds,
)
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError, suggest

DATASETS: dict[str, Callable[..., Dataset]] = {
    "arrays": arrays.create,
    "challenge2021": challenge2021.create,
    "code": code.create,
    "code15": code15.create,
    "combined": combined.create,
    "folder": folder.create,
    "ludb": ludb.create,
    "mimic_iv_ecg": mimic_iv_ecg.create,
    "ptbxl": ptbxl.create,
    "samitrop": samitrop.create,
    "simulated": simulated.create,
    "sph": sph.create,
    "store": prepared.create,
    "tfds": tfds.create,
}
_WITHOUT_PATH = ("combined", "simulated")  # whose source is not a single path; only these draw something


def open_source(
    dataset: str,
    *,
    source: str,
    labels: str,
    seed: int,
    options: Mapping[str, Mapping[str, Any]],
    partial: bool = False,
    kind: str = kinds.FINDING,
) -> Dataset:
    """Opens a data set by name, as its files have it.

    Args:
        dataset: One of `DATASETS`.
        source: Where its files are.
        labels: See `labels.resolve`; of numbers, names of attributes (see `Dataset.measure`).
        seed: For the simulator.
        options: Each data set's own keyword arguments, by its name.
        partial: Take those of the labels that it has; one at least.
        kind: Of the labels, one of `kinds.KINDS`.
    """
    names, how = label_lib.resolve(labels), dict[str, Any](source=source, seed=seed, options=options)
    if kind == kinds.NUMBER:
        found = _open(dataset, labels=label_lib.Numbers(names), **how)
        offered = tuple(name for name in names if name in found.attributes)
        return found.measure((offered if partial else ()) or names)
    found = _open(dataset, labels=label_lib.Offered(names) if partial else names, **how)
    if partial and names != label_lib.ALL and not found.label_names:
        raise InputError(f"data set {dataset}: it has none of the labels {', '.join(names)}")
    return found


def _open(
    dataset: str, *, source: str, labels: tuple[str, ...], seed: int, options: Mapping[str, Mapping[str, Any]]
) -> Dataset:
    if dataset not in DATASETS:
        raise InputError(f"data.dataset is {dataset!r}; known: {', '.join(DATASETS)}{suggest(dataset, DATASETS)}")
    if source and dataset not in _WITHOUT_PATH and not os.path.exists(source):
        raise InputError(
            f"data set {dataset}: {source}: no such file or folder; pass --config.data.source=PLACE where its files are"
            + files.suggest(source)
        )
    keywords = dict(options.get(dataset, {}))
    if dataset == "combined":
        keywords = {"open_part": functools.partial(_open, options=options)}
    if dataset in _WITHOUT_PATH:
        keywords["seed"] = seed
    return DATASETS[dataset](source=source, labels=labels, **keywords)


def create(dataset: str, *, source: str, labels: str, seed: int, options: Mapping[str, Mapping[str, Any]]) -> Dataset:
    """Opens a data set by name, to train on: as `open_source`, with a split, its own or drawn by `seed`."""
    return splits.assign(open_source(dataset, source=source, labels=labels, seed=seed, options=options), seed)
