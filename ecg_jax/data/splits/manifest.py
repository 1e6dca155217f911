"""The record of a run's data, `split.json`: which recordings were in which split, and why."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.data.splits.leaks import LEFT_OUT
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING
from ecg_jax.recording import Recording

Manifest = Mapping[str, Any]
SEEN = "was in the training set"
SEEN_NAME = f"{SEEN} (by its name)"
_SUFFIX = re.compile(r"\.[A-Za-z]\w*$")  # `1.2.840` has none


def create(dataset: Dataset, folds: np.ndarray | None = None, facts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Describes a data set with a split, or its folds (`[N]` int64 from 1), JSON-ready.

    `facts` say how they came about; the split's own (`Dataset.split_facts`) where no folds are given.

    Returns:
        `summary` (recordings per split, facts of the split, and a fingerprint of ids, splits, labels and hashes in
        their order), `labels` (their names), `recordings` (ids by split, and what is `left_out` of all) and, where they
        are known, `hashes` (in the same order; empty for a recording without a signal).
    """
    if folds is None:
        assert dataset.split is not None
        sides, names = np.where(dataset.split == LEFT_OUT, "left_out", dataset.split), list(SPLITS)
    else:
        sides = np.char.add("fold", folds.astype(str))
        names = [f"fold{number}" for number in range(1, int(folds.max()) + 1)]
    rows = {name: np.flatnonzero(sides == name) for name in names}
    summary = {name: len(chosen) for name, chosen in rows.items()} | dict(facts or dataset.split_facts)
    rows |= {"left_out": left_out} if (left_out := np.flatnonzero(sides == "left_out")).size else {}
    manifest = {
        "summary": summary | {"fingerprint": _compute_fingerprint(dataset, sides)},
        "labels": list(dataset.label_names),
        "recordings": {name: dataset.ids[chosen].tolist() for name, chosen in rows.items()},
    }
    if dataset.hashes is not None:
        manifest["hashes"] = {name: dataset.hashes[chosen].tolist() for name, chosen in rows.items()}
    return manifest


def _compute_fingerprint(dataset: Dataset, sides: np.ndarray) -> str:
    dtype = np.int8 if dataset.kind == FINDING else "<f4"
    labels = np.where(np.isnan(dataset.labels), -1, dataset.labels).astype(dtype)
    digest = hashlib.sha256(labels.tobytes())
    for column in (dataset.label_names, dataset.ids, sides, dataset.hashes):
        digest.update(b"\0" if column is None else "\n".join(column).encode() + b"\0")
    return digest.hexdigest()


def find_hashes(manifest: Manifest, ids: np.ndarray) -> np.ndarray | None:
    """The hashes of exactly these recordings, `[N]` str, where the manifest has them; else None."""
    known = _list_hashes(manifest)
    return np.array([known[id] for id in ids.tolist()], str) if known.keys() == {*ids.tolist()} else None


def _list_hashes(manifest: Manifest) -> dict[str, str]:
    """Hash of each recording by id; empty without hashes."""
    hashes = manifest.get("hashes", {})
    pairs = (zip(manifest["recordings"][side], hashes[side], strict=True) for side in hashes)
    return {id: hash for side in pairs for id, hash in side}


def _list_sides(manifest: Manifest) -> dict[str, str]:
    """Side of each recording by id: a split, a fold, or `left_out`."""
    return {id: side for side, recordings in manifest["recordings"].items() for id in recordings}


def find_split(manifest: Manifest, ids: np.ndarray) -> np.ndarray | None:
    """The split of exactly these recordings, `[N]` str, where the manifest has one; else None."""
    sides = {id: side for id, side in _list_sides(manifest).items() if side in SPLITS}
    return np.array([sides[id] for id in ids.tolist()], str) if sides.keys() == {*ids.tolist()} else None


def names_all(manifest: Manifest, ids: np.ndarray) -> bool:
    """Whether the manifest has all of these recordings, by their names."""
    return {*ids.tolist()} <= _list_sides(manifest).keys()


def recognize(manifest: Manifest, dataset: Dataset) -> np.ndarray | None:
    """The split `[N]` str of a data set whose recordings are the manifest's, all or some; None where they are others.

    Names and content decide; without hashes, all recordings must be there, in their order, with the same labels.
    """
    if not names_all(manifest, dataset.ids):
        return None
    sides = _list_sides(manifest)
    split = np.array([sides[id] for id in dataset.ids.tolist()], str)
    split = np.where(split == "left_out", LEFT_OUT, split)
    if "hashes" in manifest and dataset.hashes is not None:
        known = _list_hashes(manifest)
        is_same = [known[id] for id in dataset.ids.tolist()] == dataset.hashes.tolist()
    else:
        found = create(dataclasses.replace(dataset, split=split))
        is_same = found["summary"]["fingerprint"] == manifest["summary"]["fingerprint"]
    return split if is_same else None


def differs(manifest: Manifest, dataset: Dataset) -> bool:
    """Whether a data set with a split is neither what the manifest describes nor a part of it, known by its content."""
    if create(dataset)["summary"]["fingerprint"] == manifest["summary"]["fingerprint"]:
        return False
    count = sum(map(len, manifest["recordings"].values()))
    split = recognize(manifest, dataset) if len(dataset.ids) < count else None
    return split is None or split.tolist() != np.asarray(dataset.split).tolist()


def refuse_trained(manifest: Manifest, dataset: Dataset, source: str) -> None:
    """Raises `InputError` where recordings of the test split trained the network that training starts from.

    The manifest is that of the run that trained it, in the folder `source`.
    """
    rows = dataset.indices("test")
    hashes = None if dataset.hashes is None else dataset.hashes[rows]
    seen = Trained(manifest).find_among(dataset.ids[rows], hashes)
    if seen.any():
        names = ", ".join(dataset.ids[rows][seen][:3])
        raise InputError(
            f"data set {dataset.name}: {seen.sum()} recordings of the test split trained the starting weights, "
            f"{source}: {names}{' and more' if seen.sum() > 3 else ''}; "
            "give the data that run's split, in a column `split`"
        )


class Trained:
    """Tells whether a recording trained a network."""

    def __init__(self, manifest: Manifest) -> None:
        """Wraps a manifest, whose hashes decide; where it has none, ids do."""
        self._ids = frozenset(manifest["recordings"]["train"])
        self._names = frozenset(map(_bare_name, self._ids)) - {""}
        self._hashes = frozenset(manifest["hashes"]["train"]) - {""} if "hashes" in manifest else None

    def find_among(self, ids: np.ndarray, hashes: np.ndarray | None) -> np.ndarray:
        """Which of some recordings trained it, `[n]` bool; by content where both sides know it, else by id."""
        if self._hashes is None or hashes is None:
            return np.isin(ids, list(self._ids))
        return np.isin(hashes, list(self._hashes))

    def find(self, recording: Recording) -> str:
        """What to report on a recording: `SEEN`, or `SEEN_NAME` where contents are unknown, or nothing.

        A name is a path or an id; the last part, without suffix, of either is compared.
        """
        if self._hashes is None:
            return SEEN_NAME if recording.id in self._ids or _bare_name(recording.id) in self._names else ""
        return SEEN if quality.content_hash(recording) in self._hashes else ""


def _bare_name(id: str) -> str:
    """The last part of a path, or of the name of an exam in a file (`part0.hdf5:12`), without suffix."""
    return _SUFFIX.sub("", re.split(r"[/\\:]", id)[-1])
