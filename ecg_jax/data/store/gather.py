"""Shards become a store: their recordings in the order of the data set, with its current labels and attributes."""

import csv
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ecg_jax import files, spreadsheet
from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.store.settings import ERRORS, EXCLUDED, Settings
from ecg_jax.data.store.shards import SHARDS, hash_file, read_shard_description
from ecg_jax.data.store.store import PROBLEMS, kept_contract, write_manifest
from ecg_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Numbers of recordings in a prepared store, of those written by this call, and of those left out, by reason."""

    recordings: int
    added: int
    left_out: Mapping[str, int]

    @property
    def errors(self) -> int:
        """How many could not be read or were refused."""
        return sum(self.left_out.get(reason, 0) for reason in ERRORS)


@dataclasses.dataclass(frozen=True)
class Shard:
    """The description of a whole shard, in arrays, as a store may hold millions of recordings.

    Attributes:
        name: Of its files.
        sha256: Of its signals.
        rows: `[n]` numbers of its recordings in the data set.
        facts: Name to `[n]`: `length`, `flags`, `hash`, `normalized`, and measurements.
        notes: Of a recording, by its place in the shard.
        problems: Recordings left out, by number in the data set.
        attempt: How often its recordings had failed before.
        filters: Version of the code that resampled and filtered them, see `data.filters`.
    """

    name: str
    sha256: str
    rows: np.ndarray
    facts: Mapping[str, np.ndarray]
    notes: Mapping[int, list[str]]
    problems: Mapping[int, Mapping[str, str]]
    attempt: int
    filters: int


def read_shards(folder: str, dataset: Dataset, settings: Settings, without: Collection[str] = ()) -> list[Shard]:
    """Describes the whole shards made with these settings, in the order of the data set.

    Args:
        folder: The store.
        dataset: The data set it was made from.
        settings: How recordings are stored.
        without: Names of shards to ignore.

    Raises:
        InputError: when the data set lacks one of their recordings.
    """
    place = {str(id): row for row, id in enumerate(dataset.ids)}
    path = os.path.join(folder, SHARDS)
    names = {name[:-5] for name in os.listdir(path) if name.endswith(".json")} if os.path.isdir(path) else set()
    found = (_read_shard(folder, name, settings, place) for name in sorted(names - set(without)))
    shards = [shard for shard in found if shard and (len(shard.rows) or shard.problems)]
    return sorted(shards, key=lambda shard: (min([*shard.rows, *shard.problems]), shard.attempt))


def _read_shard(folder: str, name: str, settings: Settings, place: Mapping[str, int]) -> Shard | None:
    description = read_shard_description(folder, name)
    if description is None or description["settings"] != settings.fingerprint:
        return None
    recordings = description["recordings"]
    strangers = [recording["id"] for recording in recordings if recording["id"] not in place]
    if strangers:
        raise InputError(
            f"{folder}: recordings of the store are not in the data set, the first {strangers[0]}; "
            "a store belongs to one data set (`combined` joins several); choose another --output"
        )
    measured = [key for key, value in recordings[0].items() if isinstance(value, float)] if recordings else []
    kinds: dict[str, type] = {"length": np.int32, "flags": np.int32, "hash": str, "normalized": bool}
    kinds |= dict.fromkeys(measured, np.float32)
    return Shard(
        name=name,
        sha256=description["sha256"],
        rows=np.array([place[recording["id"]] for recording in recordings], np.int64),
        facts={key: np.array([recording[key] for recording in recordings], kind) for key, kind in kinds.items()},
        notes={i: recording["notes"] for i, recording in enumerate(recordings) if recording["notes"]},
        problems={place[p["recording"]]: p for p in description["problems"] if p["recording"] in place},
        attempt=description["attempt"],
        filters=description.get("filters", 1),
    )


def latest_problems(shards: Sequence[Shard]) -> dict[int, Mapping[str, str]]:
    """Recordings left out, by number in the data set, with the account of the last attempt."""
    by_attempt = sorted(shards, key=lambda shard: shard.attempt)
    return {row: problem for shard in by_attempt for row, problem in shard.problems.items()}


def gather(folder: str, dataset: Dataset, settings: Settings, added: int) -> Outcome:
    """Gathers the shards into a store."""
    shards = read_shards(folder, dataset, settings)
    left_out = latest_problems(shards)
    for row in (row for shard in shards for row in shard.rows.tolist()):
        left_out.pop(row, None)  # a later attempt stored it
    filled = [shard for shard in shards if len(shard.rows)]
    if not filled:
        first = f"; the first: {next(iter(left_out.values()))['detail']}" if left_out else ""
        raise InputError(f"{folder}: none of {len(dataset.ids)} recordings could be stored{first}")
    columns, repeated = _create_columns(dataset, filled, "duplicate" in settings.exclude)
    left_out |= repeated
    normalized = np.concatenate([shard.facts["normalized"] for shard in filled])
    if normalized.any() and not normalized.all():
        raise InputError(
            f"{folder}: {normalized.sum()} of {len(normalized)} recordings are z-scored; a store is all or none"
        )
    problems = [left_out[row] for row in sorted(left_out)]
    counts = dict(Counter(problem["reason"] for problem in problems))
    manifest = {
        "settings": settings.to_dict(),
        "contract": kept_contract(settings.contract),
        "normalized": bool(normalized.all()),
        "labels": list(dataset.label_names),
        "columns": sorted(columns),
        "recordings": len(columns["ids"]),
        "left_out": counts,
        "problems_checksum": _write_problems(folder, problems),
        "notes": list(dataset.notes),
        "shards": [
            {"name": shard.name, "samples": int(shard.facts["length"].sum()), "sha256": shard.sha256}
            for shard in filled
        ],
        "filters": sorted({shard.filters for shard in filled}),
    }
    write_manifest(folder, manifest, columns)
    return Outcome(len(columns["ids"]), added, counts)


def _create_columns(
    dataset: Dataset, shards: list[Shard], without_repeats: bool
) -> tuple[dict[str, np.ndarray], dict[int, Mapping[str, str]]]:
    """The columns of the index; and the repeats that are left out, if they are to be, by number."""
    rows = np.concatenate([shard.rows for shard in shards])
    sizes = [len(shard.rows) for shard in shards]
    facts = {key: np.concatenate([shard.facts[key] for shard in shards]) for key in shards[0].facts}
    starts = [np.cumsum(shard.facts["length"], dtype=np.int64) - shard.facts["length"] for shard in shards]
    kept = np.ones(len(rows), bool)
    repeated: dict[int, Mapping[str, str]] = {}
    for first, *others in quality.find_duplicates(facts["hash"]):
        if without_repeats:
            kept[others] = False
            detail = f"the same content as {dataset.ids[rows[first]]}"
            repeated |= {
                int(rows[i]): {"recording": str(dataset.ids[rows[i]]), "reason": EXCLUDED, "detail": detail}
                for i in others
            }
        else:
            facts["flags"][[first, *others]] |= quality.pack_flags(("duplicate",))
    offset = np.cumsum(sizes) - sizes
    notes = {int(offset[i] + place): lines for i, shard in enumerate(shards) for place, lines in shard.notes.items()}
    number = np.cumsum(kept) - 1
    rows = rows[kept]
    columns = {
        "ids": dataset.ids[rows],
        "shard": np.repeat(np.arange(len(shards), dtype=np.int32), sizes)[kept],
        "start": np.concatenate(starts)[kept],
        "length": facts["length"][kept],
        "labels": np.nan_to_num(dataset.labels[rows], nan=-1).astype(np.int8),
        "hashes": facts["hash"][kept],
        "flags": facts["flags"][kept],
        "notes": np.frombuffer(
            json.dumps({int(number[i]): lines for i, lines in notes.items() if kept[i]}).encode(), np.uint8
        ),
    }
    columns |= {f"measured_{key}": column[kept] for key, column in facts.items() if column.dtype == np.float32}
    known = {name: getattr(dataset, name) for name in ("split", "patients", "folds", "origins")}
    columns |= {name: column[rows] for name, column in known.items() if column is not None}
    return columns | {f"attribute_{name}": column[rows] for name, column in dataset.attributes.items()}, repeated


def _write_problems(folder: str, problems: list[Mapping[str, str]]) -> str:
    """Writes the table of recordings left out; returns its checksum."""
    path = os.path.join(folder, PROBLEMS)
    with files.replacing(path, newline="") as file:
        table = csv.DictWriter(file, ("recording", "reason", "detail"))
        table.writeheader()
        table.writerows({key: spreadsheet.guard(text) for key, text in problem.items()} for problem in problems)
    return hash_file(path)
