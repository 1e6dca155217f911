"""Several data sets as one, with one label space: unknown where a part does not offer a label.

A label of the same name is taken to mean the same everywhere. Ids and patients get their
part's name in front, so that equal numbers in two parts are two recordings and two people.
Where any part has a split of its own, it keeps it, and `splits.assign` draws one for the others.

Trap: PTB-XL is also inside the Challenges, under other names. Where both are parts, the
Challenge's copy of a recording is left out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording


def create(*, source: str, labels: tuple[str, ...], seed: int, open_part: Callable[..., Dataset]) -> Dataset:
    """Opens the parts and joins them.

    Args:
        source: `NAME:PATH,NAME:PATH`, each the name of a data set and its source.
        labels: Each must be offered by one part at least.
        seed: For parts that are simulated.
        open_part: `(dataset, source=, labels=, seed=) -> Dataset`.

    Raises:
        InputError: on a source of another form, a label that no part offers, and whatever is
            wrong with a part.
    """
    wanted = labels if labels == label_lib.ALL else label_lib.Offered(labels)
    parts: dict[str, Dataset] = {}
    for name, path in _parse_source(source):
        part = open_part(name, source=path, labels=wanted, seed=seed)
        count = sum(opened.name == part.name for opened in parts.values())
        parts[f"{name}{count + 1}" if count else name] = part
    parts = _leave_out_copies(parts)
    if any(part.split is not None for part in parts.values()):
        parts = {prefix: _leave_undecided(part) for prefix, part in parts.items()}
    names = tuple(dict.fromkeys(name for part in parts.values() for name in part.label_names))
    if labels != label_lib.ALL:
        if missing := [name for name in labels if name not in names]:
            raise InputError(f"data set combined: no part offers label {', '.join(missing)}; parts: {', '.join(parts)}")
        names = labels
    return _join(parts, names)


def _parse_source(source: str) -> list[tuple[str, str]]:
    entries = [entry.strip().partition(":") for entry in source.split(",") if entry.strip()]
    wrong = [name for name, colon, _ in entries if not colon or name.strip() == "combined"]
    if wrong or not entries:
        raise InputError(
            f"data set combined: source {source!r}; pass --config.data.source=NAME:PATH,NAME:PATH, "
            "each a data set's name and where its files lie"
        )
    return [(name.strip(), path.strip()) for name, _, path in entries]


def _leave_undecided(part: Dataset) -> Dataset:
    if part.split is not None:
        return part
    return dataclasses.replace(part, split=np.full(len(part.ids), ""), notes=(*part.notes, "its split is drawn"))


def _leave_out_copies(parts: dict[str, Dataset]) -> dict[str, Dataset]:
    """Drops the Challenge's HR records that a PTB-XL part has too: HR00021 is its `ecg_id` 21."""
    ours = {f"HR{int(id):05d}" for part in parts.values() if part.name == "ptbxl" for id in part.ids}
    kept = {}
    for prefix, part in parts.items():
        copies = np.isin(part.ids, sorted(ours)) & (part.name == "challenge2021")
        kept[prefix] = part
        if copies.any():
            note = f"{copies.sum()} HR records are also in the part ptbxl; left out here"
            kept[prefix] = dataclasses.replace(take(part, np.flatnonzero(~copies)), notes=(*part.notes, note))
    return kept


def take(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """Returns the data set with some of its recordings, `rows` `[n]` int64, in that order."""

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[rows]

    return dataclasses.replace(
        dataset,
        ids=dataset.ids[rows],
        columns={name: column[rows] for name, column in dataset.columns.items()},
        read=lambda i: dataset.read(int(rows[i])),
        split=pick(dataset.split),
        patients=pick(dataset.patients),
        folds=pick(dataset.folds),
        attributes={name: values[rows] for name, values in dataset.attributes.items()},
        hashes=pick(dataset.hashes),
        store=None,
    )


def _join(parts: dict[str, Dataset], names: tuple[str, ...]) -> Dataset:
    ids = np.concatenate([_prefix(prefix, part.ids) for prefix, part in parts.items()])
    ends = np.cumsum([len(part.ids) for part in parts.values()])
    members = list(parts.values())

    def read(i: int) -> Recording:
        number = int(np.searchsorted(ends, i, side="right"))
        part = members[number]
        recording = part.read(int(i - ends[number] + len(part.ids)))
        return dataclasses.replace(recording, id=str(ids[i]))

    def unknown(part: Dataset) -> np.ndarray:
        return np.full(len(part.ids), np.nan, np.float32)

    return Dataset(
        name="combined",
        ids=ids,
        columns={name: np.concatenate([part.columns.get(name, unknown(part)) for part in members]) for name in names},
        read=read,
        split=_concatenate([part.split for part in members]),
        patients=_join_patients(parts),
        attributes=_join_attributes(parts),
        hashes=_concatenate([part.hashes for part in members]),
        notes=tuple(f"{prefix}: {note}" for prefix, part in parts.items() for note in part.notes),
    )


def _join_patients(parts: dict[str, Dataset]) -> np.ndarray | None:
    """Empty in a part that names no patients; None where none does."""
    if all(part.patients is None for part in parts.values()):
        return None
    named = [
        np.full(len(part.ids), "") if part.patients is None else _prefix(prefix, part.patients)
        for prefix, part in parts.items()
    ]
    return np.concatenate(named)


def _join_attributes(parts: dict[str, Dataset]) -> dict[str, np.ndarray]:
    """Every attribute of any part, NaN or empty where a part lacks it, and `source`, the part's name."""
    joined = {}
    for name in dict.fromkeys(name for part in parts.values() for name in part.attributes):
        blank = next(
            "" if part.attributes[name].dtype.kind == "U" else np.float32(np.nan)
            for part in parts.values()
            if name in part.attributes
        )
        joined[name] = np.concatenate(
            [part.attributes.get(name, np.full(len(part.ids), blank)) for part in parts.values()]
        )
    sources = [
        _prefix(prefix, part.attributes["source"]) if "source" in part.attributes else np.full(len(part.ids), prefix)
        for prefix, part in parts.items()
    ]
    return joined | {"source": np.concatenate(sources)}


def _concatenate(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    known = [array for array in arrays if array is not None]
    return np.concatenate(known) if len(known) == len(arrays) else None


def _prefix(prefix: str, values: np.ndarray) -> np.ndarray:
    """The values with a part's name in front; what is empty, and so unknown, stays so."""
    return np.array([value and f"{prefix}/{value}" for value in values.tolist()], str)
