"""Shards become a store: their recordings in the order of the data set, with what it says of them now."""

import csv
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.data import quality
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.store.settings import ERRORS, Settings
from ecg_jax.data.store.shards import SHARDS, read_shard_description
from ecg_jax.data.store.store import PROBLEMS, kept_contract, write_manifest
from ecg_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a preparation did.

    Attributes:
        recordings: Now in the store.
        added: Of these, written by this call.
        left_out: How many were left out, by reason.
    """

    recordings: int
    added: int
    left_out: Mapping[str, int]

    @property
    def errors(self) -> int:
        """How many could not be read or were refused."""
        return sum(self.left_out.get(reason, 0) for reason in ERRORS)


def list_shards(folder: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """Descriptions of the whole shards that were made with these settings, by name."""
    path = os.path.join(folder, SHARDS)
    names = sorted(name[:-5] for name in os.listdir(path) if name.endswith(".json")) if os.path.isdir(path) else []
    found = {name: read_shard_description(folder, name) for name in names}
    return {name: shard for name, shard in found.items() if shard and shard["settings"] == settings.fingerprint}


def gather(folder: str, dataset: Dataset, settings: Settings, origin: Mapping[str, Any], added: int) -> Outcome:
    """Gathers the shards into a store."""
    place = {str(id): row for row, id in enumerate(dataset.ids)}
    shards = list_shards(folder, settings)
    problems = _gather_problems(shards, place)
    names = sorted(
        (name for name in shards if shards[name]["recordings"]),
        key=lambda name: min(place[recording["id"]] for recording in shards[name]["recordings"]),
    )
    entries = [(i, entry) for i, name in enumerate(names) for entry in shards[name]["recordings"]]
    if not entries:
        first = f"; the first: {problems[0]['detail']}" if problems else ""
        raise InputError(f"{folder}: none of {len(dataset.ids)} recordings could be stored{first}")
    columns = _create_columns(dataset, entries, place)
    normalized = columns.pop("normalized")
    if normalized.any() and not normalized.all():
        raise InputError(
            f"{folder}: {normalized.sum()} of {len(normalized)} recordings are z-scored; a store is all or none"
        )
    _write_problems(folder, problems)
    samples = np.bincount(columns["shard"], weights=columns["length"]).astype(int).tolist()
    left_out = dict(Counter(problem["reason"] for problem in problems))
    manifest = {
        "settings": settings.to_dict(),
        "contract": kept_contract(settings.contract),
        "normalized": bool(normalized.all()),
        "origin": dict(origin),
        "labels": list(dataset.label_names),
        "columns": sorted(columns),
        "recordings": len(entries),
        "left_out": left_out,
        "notes": list(dataset.notes),
        "shards": [
            {"name": name, "samples": count, "sha256": shards[name]["sha256"]}
            for name, count in zip(names, samples, strict=True)
        ],
    }
    write_manifest(folder, manifest, columns)
    return Outcome(len(entries), added, left_out)


def _gather_problems(shards: Mapping[str, Mapping[str, Any]], place: Mapping[str, int]) -> list[dict[str, str]]:
    """What was left out and never made it into a later shard, in the order of the data set."""
    stored = {recording["id"] for shard in shards.values() for recording in shard["recordings"]}
    found = {
        problem["recording"]: problem
        for name in sorted(shards)
        for problem in shards[name]["problems"]
        if problem["recording"] not in stored and problem["recording"] in place
    }
    return [found[id] for id in sorted(found, key=place.__getitem__)]


def _create_columns(
    dataset: Dataset, entries: list[tuple[int, Mapping[str, Any]]], place: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """The index: where recordings lie, what was measured of them, what the data set says of them."""
    facts = [entry for _, entry in entries]
    rows = np.array([place[fact["id"]] for fact in facts])
    length = np.array([fact["length"] for fact in facts], np.int32)
    shard = np.array([i for i, _ in entries], np.int32)
    ends = np.cumsum(length, dtype=np.int64)
    first = np.flatnonzero(np.diff(shard, prepend=-1))
    offset = np.repeat(ends[first] - length[first], np.diff([*first, len(shard)]))
    states = np.nan_to_num(dataset.labels[rows], nan=-1).astype(np.int8)
    hashes = np.array([fact["hash"] for fact in facts])
    flags = np.array([fact["flags"] for fact in facts], np.int32)
    for group in quality.find_duplicates(hashes):
        flags[np.asarray(group)] |= quality.pack_flags(("duplicate",))
    noted = {i: fact["notes"] for i, fact in enumerate(facts) if fact["notes"]}
    columns = {
        "ids": dataset.ids[rows],
        "shard": shard,
        "start": ends - length - offset,
        "length": length,
        "labels": states,
        "hashes": hashes,
        "flags": flags,
        "normalized": np.array([fact["normalized"] for fact in facts], bool),
        "notes": np.frombuffer(json.dumps(noted).encode(), np.uint8),
    }
    measured = [key for key, value in facts[0].items() if isinstance(value, float)]
    columns |= {f"measured_{key}": np.array([fact[key] for fact in facts], np.float32) for key in measured}
    known = {"split": dataset.split, "patients": dataset.patients, "folds": dataset.folds}
    columns |= {name: column[rows] for name, column in known.items() if column is not None}
    return columns | {f"attribute_{name}": column[rows] for name, column in dataset.attributes.items()}


def _write_problems(folder: str, problems: list[dict[str, str]]) -> None:
    path = os.path.join(folder, PROBLEMS)
    with open(f"{path}.partial", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ("recording", "reason", "detail"))
        table.writeheader()
        table.writerows(problems)
    os.replace(f"{path}.partial", path)
