"""Several data sets as one, with one label space: unknown where a part does not offer a label.

A label of the same name is taken to mean the same everywhere. Ids and patients get their
part's name in front, so that equal numbers in two parts are two recordings and two people.
Where any part has a split of its own, it keeps it, and `splits.assign` draws one for the others.

Recordings of one data base keep together, wherever they lie (see `Dataset.origins`): PTB-XL's patients have one name
in all parts, and its folds hold in parts that do not name them. The Challenge's copy of a recording that another part
has is left out, and so is one whose side nobody knows beside other recordings of PTB-XL: its patient may be among
them.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import scp_codes
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording


def create(*, source: str, labels: tuple[str, ...], seed: int, open_part: Callable[..., Dataset]) -> Dataset:
    """Opens the parts and joins them.

    Args:
        source: `NAME:PATH,NAME:PATH`, each the name of a data set and its source.
        labels: Each must be offered by one part at least; see `labels.choose`.
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
        parts = _keep_databases_together(parts)
    names = tuple(dict.fromkeys(name for part in parts.values() for name in part.label_names))
    if labels != label_lib.ALL:
        if missing := [name for name in labels if name not in (*names, label_lib.STATEMENTS)]:
            raise InputError(f"data set combined: no part offers label {', '.join(missing)}; parts: {', '.join(parts)}")
        names = tuple(label_lib.choose(labels, names, f"data set combined, {source}"))
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
    """Drops the Challenge's records that another part has too: HR00021 is PTB-XL's `ecg_id` 21."""
    kept = dict(parts)
    for prefix, part in parts.items():
        if part.name != "challenge2021" or part.origins is None:
            continue
        others = {name: other for name, other in parts.items() if other.name != part.name}
        ours = {name: np.isin(part.origins, _origins(other)) & (part.origins != "") for name, other in others.items()}
        copies = np.any([*ours.values(), np.zeros(len(part.ids), bool)], axis=0)
        if copies.any():
            where = " or ".join(name for name, rows in ours.items() if rows.any())
            note = f"{copies.sum()} HR records are also in the part {where}; left out here"
            kept[prefix] = dataclasses.replace(take(part, np.flatnonzero(~copies)), notes=(*part.notes, note))
    return kept


def _keep_databases_together(parts: dict[str, Dataset]) -> dict[str, Dataset]:
    """Gives recordings of a data base without a side that of their copy or patient, where another part has one.

    Those of which no part knows the side are left out, where other parts have recordings of that data base: any of
    them may be of the same patient.
    """
    sides: dict[str, str] = {}
    places: dict[str, set[str]] = {}  # data base to the parts that have a side for its recordings
    for prefix, part in parts.items():
        assert part.split is not None
        for origin, patient, side in zip(_origins(part), _find_patients(parts, prefix), part.split, strict=True):
            if origin and side:
                sides |= {origin: str(side), patient: str(side)} if patient else {origin: str(side)}
                places.setdefault(_database(origin), set()).add(prefix)
    return {
        prefix: _decide(part, prefix, _find_patients(parts, prefix), sides, places) for prefix, part in parts.items()
    }


def _decide(
    part: Dataset, prefix: str, patients: np.ndarray, sides: dict[str, str], places: dict[str, set[str]]
) -> Dataset:
    assert part.split is not None
    if part.origins is None:
        return part
    split = part.split.astype("U10")
    for row in np.flatnonzero((part.origins != "") & (split == "")):
        split[row] = sides.get(str(part.origins[row])) or sides.get(str(patients[row]), "")
    elsewhere = np.array([bool(places.get(_database(str(origin)))) for origin in part.origins])
    lost = (part.origins != "") & (split == "") & elsewhere
    decided = dataclasses.replace(part, split=split)
    if not lost.any():
        return decided
    note = (
        f"{lost.sum()} recordings of PTB-XL whose fold is unknown are left out, as their patients may be in another "
        "part; name PTB-XL's table with --config.data.challenge2021.ptbxl_csv=FILE"
    )
    return dataclasses.replace(take(decided, np.flatnonzero(~lost)), notes=(*part.notes, note))


def _origins(part: Dataset) -> np.ndarray:
    return np.full(len(part.ids), "") if part.origins is None else part.origins


def _database(origin: str) -> str:
    return origin.partition("/")[0] if origin else ""


def _find_patients(parts: dict[str, Dataset], prefix: str) -> np.ndarray:
    """The patients of a part, `[N]` str, empty where unknown: by their part, or by the data base of their recording."""
    part = parts[prefix]
    patients = np.full(len(part.ids), "") if part.patients is None else part.patients
    named = _prefix(prefix, patients).tolist()
    return np.array(
        [
            scp_codes.name_patient(str(patient)) if origin else name
            for origin, patient, name in zip(_origins(part), patients, named, strict=True)
        ],
        str,
    )


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
        origins=pick(dataset.origins),
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
        origins=_join_origins(parts),
        attributes=_join_attributes(parts),
        hashes=_concatenate([part.hashes for part in members]),
        notes=tuple(f"{prefix}: {note}" for prefix, part in parts.items() for note in part.notes),
    )


def _join_patients(parts: dict[str, Dataset]) -> np.ndarray | None:
    """Patients, empty where unknown; a recording in several parts is of one. None where there are none of these."""
    if all(part.patients is None and part.origins is None for part in parts.values()):
        return None
    patients = np.concatenate([_find_patients(parts, prefix) for prefix in parts])
    origins = np.concatenate([_origins(part) for part in parts.values()])
    known = {origin: patient for origin, patient in zip(origins.tolist(), patients.tolist(), strict=True) if patient}
    values, counts = np.unique(origins, return_counts=True)
    copied = {*values[counts > 1].tolist()} - {""}
    return np.array(
        [
            patient or known.get(origin, f"recording {origin}") if origin in copied else patient
            for origin, patient in zip(origins.tolist(), patients.tolist(), strict=True)
        ],
        str,
    )


def _join_origins(parts: dict[str, Dataset]) -> np.ndarray | None:
    if all(part.origins is None for part in parts.values()):
        return None
    return np.concatenate([_origins(part) for part in parts.values()])


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
