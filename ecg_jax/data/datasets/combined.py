"""Several data sets as one, with one label space: unknown where a part does not offer a label.

A label of the same name is taken to mean the same everywhere. Ids and patients get their part's name in front, so that
equal numbers in two parts are two recordings and two people. Where any part has a split of its own, it keeps it, and
`splits.assign` draws one for the others.

Recordings of one data base keep together in all parts (see `Dataset.origins`): PTB-XL's patients have one name in all
parts, and its folds hold in parts that do not name them. The Challenge's copy of a recording that another part has is
left out, and so is one of unknown side beside other recordings of PTB-XL: its patient may be among them.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import pandas as pd

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets import scp_codes
from ecg_jax.data.datasets.dataset import UNKNOWN_FOLD, Dataset
from ecg_jax.errors import InputError
from ecg_jax.recording import Recording

_UNKNOWN = np.float32(np.nan)
Parts = dict[str, Dataset]  # by the name that goes in front of ids
Notes = dict[str, list[str]]  # of each part


def create(*, source: str, labels: tuple[str, ...], seed: int, open_part: Callable[..., Dataset]) -> Dataset:
    """Opens the parts and joins them.

    Args:
        source: `NAME:PATH,NAME:PATH`, each the name of a data set and its source.
        labels: Each must be offered by one part at least; see `labels.choose`.
        seed: For parts that are simulated.
        open_part: `(dataset, source=, labels=, seed=) -> Dataset`.
    """
    takes_all = labels == label_lib.ALL or isinstance(labels, label_lib.Numbers)  # of these, what parts have is joined
    wanted = labels if takes_all else label_lib.Offered(labels)
    parts: Parts = {}
    for name, path in _parse_source(source):
        part = open_part(name, source=path, labels=wanted, seed=seed)
        count = sum(opened.name == part.name for opened in parts.values())
        parts[f"{name}{count + 1}" if count else name] = part
    names = tuple(dict.fromkeys(name for part in parts.values() for name in part.label_names))
    if not takes_all:
        if missing := [name for name in labels if name not in (*names, label_lib.STATEMENTS)]:
            raise InputError(f"data set combined: no part offers label {', '.join(missing)}; parts: {', '.join(parts)}")
        names = tuple(label_lib.choose(labels, names, f"data set combined, {source}"))
    notes: Notes = {prefix: [*part.notes] for prefix, part in parts.items()}
    rows = _leave_out_copies(_list_rows(parts), notes)
    has_split = any(part.split is not None for part in parts.values())
    if has_split:
        rows = _decide_splits(rows, parts, notes)
    return _join(parts, names, rows, has_split, notes)


def _parse_source(source: str) -> list[tuple[str, str]]:
    entries = [entry.strip().partition(":") for entry in source.split(",") if entry.strip()]
    wrong = [name for name, colon, _ in entries if not colon or name.strip() == "combined"]
    if wrong or not entries:
        raise InputError(
            f"data set combined: source {source!r}; pass --config.data.source=NAME:PATH,NAME:PATH, "
            "each a data set's name and where its files are"
        )
    return [(name.strip(), path.strip()) for name, _, path in entries]


def _list_rows(parts: Parts) -> pd.DataFrame:
    """A line for each recording: `part`, `name` (of the data set), `number` in it, `origin`, `patient`, `side`.

    The last three are empty where unknown. Patients are named by their part, or by the data base of their recording.
    """
    frames = []
    for prefix, part in parts.items():
        unknown = np.full(len(part.ids), "")
        values = (unknown if known is None else known for known in (part.origins, part.patients, part.split))
        frame = pd.DataFrame(dict(zip(("origin", "patient", "side"), values, strict=True)), dtype=object)
        named = zip(frame.origin, frame.patient, _prefix(prefix, frame.patient), strict=True)
        frame["patient"] = [scp_codes.name_patient(patient) if origin else name for origin, patient, name in named]
        frames.append(frame.assign(part=prefix, name=part.name, number=np.arange(len(frame))))
    return pd.concat(frames, ignore_index=True)


def _leave_out_copies(rows: pd.DataFrame, notes: Notes) -> pd.DataFrame:
    """Drops the Challenge's records that another part has too: HR00021 is PTB-XL's `ecg_id` 21."""
    others = rows[(rows.name != "challenge2021") & (rows.origin != "")]
    is_copy = (rows.name == "challenge2021") & rows.origin.isin(others.origin)
    for prefix, copies in rows[is_copy].groupby("part"):
        where = " or ".join(others.part[others.origin.isin(copies.origin)].unique())
        notes[prefix].append(f"{len(copies)} HR records are also in the part {where}; left out here")
    return rows[~is_copy]


def _decide_splits(rows: pd.DataFrame, parts: Parts, notes: Notes) -> pd.DataFrame:
    """Gives recordings of a data base without a side that of their copy or patient, where another part has one.

    Those of which no part knows the side are left out, where sides of that data base are known: any of them may be of
    the same patient.
    """
    for prefix, part in parts.items():
        notes[prefix] += ["its split is drawn"] if part.split is None else []
    known = rows[(rows.origin != "") & (rows.side != "")]
    sides = dict(zip(known.patient, known.side, strict=True)) | dict(zip(known.origin, known.side, strict=True))
    sides[""] = ""
    is_open = (rows.origin != "") & (rows.side == "")
    found = [
        sides.get(origin) or sides.get(patient, "") for origin, patient in zip(rows.origin, rows.patient, strict=True)
    ]
    rows = rows.assign(side=rows.side.where(~is_open, found))
    is_lost = is_open & (rows.side == "") & rows.origin.map(_find_database).isin(known.origin.map(_find_database))
    for prefix, lost in rows[is_lost].groupby("part"):
        notes[prefix].append(
            f"{len(lost)} recordings of PTB-XL whose fold is unknown are left out, as their patients may be in another "
            "part; name PTB-XL's table with --config.data.challenge2021.ptbxl_csv=FILE"
        )
    return rows[~is_lost]


def _find_database(origin: str) -> str:
    return origin.partition("/")[0]


def _join(parts: Parts, names: tuple[str, ...], rows: pd.DataFrame, has_split: bool, notes: Notes) -> Dataset:
    kept = rows.index.to_numpy()

    def gather(find: Callable[[str, Dataset], np.ndarray]) -> np.ndarray:
        """What `find(prefix, part)` finds in each part, of the recordings that are kept."""
        return np.concatenate([find(prefix, part) for prefix, part in parts.items()])[kept]

    def find_source(prefix: str, part: Dataset) -> np.ndarray:
        return _prefix(prefix, part.attributes["source"]) if "source" in part.attributes else fill(part, prefix)

    def find_folds(_: str, part: Dataset) -> np.ndarray:
        return fill(part, UNKNOWN_FOLD) if part.folds is None else part.folds

    def fill(part: Dataset, blank: object) -> np.ndarray:
        return np.full(len(part.ids), blank)

    ids = gather(lambda prefix, part: _prefix(prefix, part.ids))
    attributes = {}
    for name in dict.fromkeys(name for part in parts.values() for name in part.attributes):
        held = next(part.attributes[name] for part in parts.values() if name in part.attributes)
        blank = "" if held.dtype.kind == "U" else np.float32(np.nan)
        attributes[name] = gather(lambda _, part: part.attributes.get(name, fill(part, blank)))  # noqa: B023
    columns = {name: gather(lambda _, part: part.columns.get(name, fill(part, _UNKNOWN))) for name in names}  # noqa: B023
    has_hashes = all(part.hashes is not None for part in parts.values())
    places = list(zip(rows.part, rows.number.tolist(), strict=True))
    has_folds = any(part.folds is not None for part in parts.values())
    has_origins = any(part.origins is not None for part in parts.values())
    has_patients = has_origins or any(part.patients is not None for part in parts.values())

    return Dataset(
        name="combined",
        ids=ids,
        columns=columns,
        read=functools.partial(_read, {prefix: part.read for prefix, part in parts.items()}, places, ids),
        split=rows.side.to_numpy(str) if has_split else None,
        patients=_name_patients(rows) if has_patients else None,
        folds=gather(find_folds) if has_folds else None,
        origins=rows.origin.to_numpy(str) if has_origins else None,
        attributes=attributes | {"source": gather(find_source)},
        hashes=gather(lambda _, part: np.asarray(part.hashes)) if has_hashes else None,
        notes=tuple(f"{prefix}: {note}" for prefix, lines in notes.items() for note in lines),
    )


def _read(
    reads: dict[str, Callable[[int], Recording]], places: list[tuple[str, int]], ids: np.ndarray, i: int
) -> Recording:
    prefix, number = places[i]
    return dataclasses.replace(reads[prefix](number), id=str(ids[i]))


def _name_patients(rows: pd.DataFrame) -> np.ndarray:
    """Patients, `[N]` str, empty where unknown; a recording in several parts is of one."""
    named = rows[rows.patient != ""]
    known = dict(zip(named.origin, named.patient, strict=True))
    is_copied = (rows.origin != "") & rows.origin.duplicated(keep=False)
    found = [known.get(origin, f"recording {origin}") for origin in rows.origin]
    return rows.patient.where((rows.patient != "") | ~is_copied, found).to_numpy(str)


def _prefix(prefix: str, values: np.ndarray | pd.Series) -> np.ndarray:
    """The values with a part's name in front; what is empty, and so unknown, stays so."""
    return np.array([value and f"{prefix}/{value}" for value in values.tolist()], str)
