"""Shards: recordings in int16, written whole or not at all, with what is known of each and a checksum."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

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
        `[n, leads]` int16 with `INVALID` where invalid, and how many samples went beyond
        +-32.767 mV and were set to that.
    """
    steps = np.rint(signal * np.float32(STEPS_PER_MILLIVOLT))
    beyond = int(np.count_nonzero((np.abs(steps) > _LIMIT) & valid))
    return np.where(valid, np.clip(steps, -_LIMIT, _LIMIT), INVALID).astype("<i2"), beyond


class ShardWriter:
    """Writes one shard; it is there whole after `commit`, or not at all."""

    def __init__(self, folder: str, name: str) -> None:
        """Opens a shard in a store's folder; one of that name is replaced."""
        self._path = os.path.join(folder, SHARDS, name)
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        self._file = open(f"{self._path}.bin.partial", "wb")  # noqa: SIM115 - closed by commit and discard
        self._digest = hashlib.sha256()
        self._recordings: list[dict[str, Any]] = []
        self._problems: list[dict[str, str]] = []

    def add(self, steps: np.ndarray, facts: Mapping[str, Any]) -> None:
        """Appends a recording, `[n, leads]` int16, and what is known of it (JSON-ready)."""
        data = np.ascontiguousarray(steps, "<i2").tobytes()
        self._file.write(data)
        self._digest.update(data)
        self._recordings.append({**facts, "length": len(steps)})

    def leave_out(self, id: str, reason: str, detail: str) -> None:
        """Notes a recording that is not in the shard, and why."""
        self._problems.append({"recording": id, "reason": reason, "detail": detail})

    def commit(self, settings: str) -> dict[str, Any]:
        """Ends the shard: data first, then its description, each renamed into place.

        Args:
            settings: Fingerprint of how its recordings were made.

        Returns:
            The description.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(f"{self._path}.bin.partial", f"{self._path}.bin")
        description = {
            "settings": settings,
            "sha256": self._digest.hexdigest(),
            "recordings": self._recordings,
            "problems": self._problems,
        }
        write_json(f"{self._path}.json", description)
        return description

    def discard(self) -> None:
        """Removes what was written."""
        self._file.close()
        os.unlink(f"{self._path}.bin.partial")


def read_shard_description(folder: str, name: str) -> dict[str, Any] | None:
    """What is known of a shard; None where there is none that is whole."""
    path = os.path.join(folder, SHARDS, name)
    try:
        with open(f"{path}.json", encoding="utf-8") as file:
            description = json.load(file)
        return description if os.path.isfile(f"{path}.bin") else None
    except (OSError, ValueError):
        return None


def find_damage(folder: str, name: str) -> str:
    """What is wrong with a shard; empty if its bytes are those that were written."""
    description = read_shard_description(folder, name)
    if description is None:
        return "it is missing or its description is unreadable"
    digest = hashlib.sha256()
    try:
        with open(os.path.join(folder, SHARDS, f"{name}.bin"), "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    if digest.hexdigest() != description["sha256"]:
        return f"its checksum is {digest.hexdigest()[:12]}, not {description['sha256'][:12]}"
    return ""


def write_json(path: str, values: Any) -> None:
    """Writes a JSON file whole or not at all."""
    with open(f"{path}.partial", "w", encoding="utf-8") as file:
        json.dump(values, file)
    os.replace(f"{path}.partial", path)
