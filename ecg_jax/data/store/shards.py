"""Shards: recordings in int16 with the facts about each and a checksum, written whole or not at all."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax import files
from ecg_jax.data import filters

SHARDS = "shards"
INVALID = np.int16(-32768)
STEPS_PER_MILLIVOLT = 1000.0  # or per standard deviation, where the recordings are normalized
_LIMIT = 32767


def quantize(signal: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, int]:
    """Rounds millivolts to microvolts.

    Args:
        signal: `[n, leads]` float, millivolts.
        valid: `[n, leads]` bool.

    Returns:
        `[n, leads]` int16 with `INVALID` where invalid, and how many samples were clipped to +-32.767 mV.
    """
    steps = np.rint(signal * np.float32(STEPS_PER_MILLIVOLT))
    beyond = int(np.count_nonzero((np.abs(steps) > _LIMIT) & valid))
    return np.where(valid, np.clip(steps, -_LIMIT, _LIMIT), INVALID).astype("<i2"), beyond


class ShardWriter:
    """Writes one shard, which exists once `commit` is done; `problems` are the recordings left out."""

    def __init__(self, folder: str, name: str) -> None:
        """Opens a shard in a store's folder; one of that name is replaced."""
        self._path = os.path.join(folder, SHARDS, name)
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._made = files.Replacement(f"{self._path}.bin", "wb")
        self._digest = hashlib.sha256()
        self._recordings: list[dict[str, Any]] = []
        self.problems: list[dict[str, str]] = []

    def add(self, steps: np.ndarray, facts: Mapping[str, Any]) -> None:
        """Appends a recording, `[n, leads]` int16, and the facts about it (JSON-ready)."""
        data = np.ascontiguousarray(steps, "<i2").tobytes()
        with files.naming(self._made.path):
            self._made.file.write(data)
        self._digest.update(data)
        self._recordings.append({**facts, "length": len(steps)})

    def leave_out(self, id: str, reason: str, detail: str) -> None:
        """Notes a recording that is not in the shard, and why."""
        self.problems.append({"recording": id, "reason": reason, "detail": detail})

    def commit(self, settings: str, attempt: int = 0) -> None:
        """Renames the data, then their description, into place; of a problem, the latest attempt's account counts."""
        with files.naming(self._made.path):
            self._made.file.flush()
            os.fsync(self._made.file.fileno())
        self._made.commit()
        description = {
            "settings": settings,
            "attempt": attempt,
            "filters": filters.VERSION,
            "sha256": self._digest.hexdigest(),
            "recordings": self._recordings,
            "problems": self.problems,
        }
        write_sealed(f"{self._path}.json", description)

    def discard(self) -> None:
        """Removes what was written."""
        self._made.discard()


def read_shard_description(folder: str, name: str) -> dict[str, Any] | None:
    """The description of a shard; None where it is missing or damaged."""
    path = os.path.join(folder, SHARDS, name)
    try:
        return read_sealed(f"{path}.json") if os.path.isfile(f"{path}.bin") else None
    except (OSError, ValueError):
        return None


def find_damage(folder: str, name: str) -> str:
    """What is wrong with a shard; empty if nothing is."""
    description = read_shard_description(folder, name)
    if description is None:
        return "it is missing or its description is unreadable"
    return find_fault(os.path.join(folder, SHARDS, f"{name}.bin"), description["sha256"])


def find_fault(path: str, expected: str) -> str:
    """What is wrong with a file; empty if it has its checksum."""
    try:
        found = hash_file(path)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    return "" if found == expected else f"its checksum is {found[:12]}, not {expected[:12]}"


def hash_file(path: str) -> str:
    """SHA-256 of a file's bytes."""
    files.measure(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sealed(path: str, values: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all, with a checksum of its contents."""
    with files.replacing(path) as file:
        json.dump(values | {"checksum": _seal(values)}, file)


def read_sealed(path: str) -> dict[str, Any]:
    """Reads what `write_sealed` wrote; raises `ValueError` when that has changed since."""
    files.measure(path)
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    if not isinstance(values, dict) or values.pop("checksum", None) != _seal(values):
        raise ValueError("its checksum is wrong: it is damaged")
    return values


def _seal(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
