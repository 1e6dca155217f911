"""Which recordings belong together, and those of them on both sides of a split: leaks.

Recordings of equal content under different patients make these one: public data sets repeat recordings, and contain
each other.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.errors import InputError

LEFT_OUT = ""  # of every split
_SHOWN = 3


def find_groups(dataset: Dataset) -> np.ndarray:
    """Groups that must stay together, `[N]` str: a patient, with every patient who shares a signal with them.

    The name of a group is that of its first patient in the order of names, so that it does not depend on the order of
    the recordings.
    """
    patients = find_patients(dataset)
    if dataset.hashes is None:
        return patients
    code, names = pd.factorize(patients)
    content, known = _codes(dataset.hashes)
    links = (np.ones(known.sum(), bool), (code[known], len(names) + content[known]))
    size = len(names) + content.max(initial=-1) + 1
    _, component = sparse.csgraph.connected_components(sparse.coo_array(links, shape=(size, size)), directed=False)
    component = component[: len(names)]
    merged = np.flatnonzero(np.bincount(component)[component] > 1)
    first = pd.Series(names[merged], dtype=object).groupby(component[merged]).transform("min")
    names = names.astype(object)
    names[merged] = first.to_numpy()
    return names.astype(str)[code]


def find_patients(dataset: Dataset) -> np.ndarray:
    """Patients, `[N]` str; a recording of an unknown patient is a patient of its own."""
    if dataset.patients is None:
        return dataset.ids
    patients = np.asarray(dataset.patients).astype(str)
    if not (patients == "").any():
        return patients
    return np.where(patients == "", np.char.add("recording ", dataset.ids), patients)


def _codes(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers for names, and where there is a name."""
    return pd.factorize(names)[0], names != ""


def refuse(dataset: Dataset, groups: np.ndarray, sides: np.ndarray) -> None:
    """Raises `InputError`, naming recordings, where a patient or a signal is on two `sides` (`[N]`, or `LEFT_OUT`)."""
    spanning = _find_spanning(pd.factorize(groups)[0], sides)
    if not spanning.any():
        return
    pairs = []
    keys = {"of one patient": find_patients(dataset), "with the same signal": dataset.hashes}
    for relation, names in keys.items():
        if names is not None:
            pairs += [f"{pair} {relation}" for pair in _name_pairs(dataset.ids, names, sides)]
    remedy = "leave them out of training with --config.split.leaks=drop, or correct the data set's split"
    raise InputError(
        f"data set {dataset.name}: {spanning.sum()} recordings leak between splits: {', '.join(pairs[:_SHOWN])}"
        f"{f' and {len(pairs) - _SHOWN} more' if len(pairs) > _SHOWN else ''}; {remedy}"
    )


def _find_spanning(code: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """`[N]` bool: in a split, and of a group that is in several."""
    inside = np.flatnonzero((sides != LEFT_OUT) & (code >= 0))
    side = pd.Series(pd.factorize(sides)[0][inside]).groupby(code[inside])
    spanning = np.zeros(len(code), bool)
    spanning[inside] = side.transform("min") < side.transform("max")
    return spanning


def _name_pairs(ids: np.ndarray, names: np.ndarray, sides: np.ndarray) -> list[str]:
    """Two recordings on different sides, for each name that is on several."""
    code, known = _codes(names)
    rows = np.flatnonzero(_find_spanning(np.where(known, code, -1), sides))
    table = pd.DataFrame({"code": code[rows], "id": ids[rows], "side": sides[rows]}).drop_duplicates(["code", "side"])
    firsts = table.groupby("code", sort=False).head(2).groupby("code", sort=False)
    return [" and ".join(f"{id} ({side})" for id, side in zip(of.id, of.side, strict=True)) for _, of in firsts]


def drop(split: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, int, list[str]]:
    """Leaves out the recordings of a group that is in several splits, except in the last of train, validation, test.

    Returns:
        The split `[N]` str with `LEFT_OUT` where something was, how many were, and notes.
    """
    rank = np.select([split == name for name in SPLITS], [0, 1, 2], -1)
    dropped = (rank >= 0) & (rank < pd.Series(rank).groupby(groups).transform("max").to_numpy())
    if not dropped.any():
        return split, 0, []
    counts = " and ".join(
        f"{number} of {name}" for name in SPLITS if (number := int((dropped & (split == name)).sum()))
    )
    note = f"leaks: {counts} left out, whose patient or signal is in another split as well"
    return np.where(dropped, LEFT_OUT, split), int(dropped.sum()), [note]
