"""What was noticed about recordings that were predicted, embedded or explained, counted for the screen."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ecg_jax.data import quality
from ecg_jax.data.loading import NO_SIGNAL
from ecg_jax.data.splits import manifest
from ecg_jax.data.store import messages


class Noticed:
    """How often what was noticed.

    Attributes:
        count: Recordings.
    """

    def __init__(self) -> None:
        """Begins it."""
        self.count = 0
        self._seen = 0
        self._defects: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def add(self, known: Mapping[str, Any]) -> None:
        """Counts a recording, by its `quality`, `defects` and `notes`; see `batches.apply`."""
        self.count += 1
        self._seen += manifest.SEEN in known["quality"]
        self._defects.update(known["defects"])
        self._notes.update(known["notes"])

    def to_dict(self) -> dict[str, Any]:
        """What was counted, JSON-ready."""
        return {"count": self.count, "seen": self._seen, "defects": self._defects, "notes": self._notes}

    def update(self, other: Mapping[str, Any]) -> None:
        """Adds what another one has counted."""
        self.count += other["count"]
        self._seen += other["seen"]
        self._defects.update(other["defects"])
        self._notes.update(other["notes"])

    def describe(self) -> list[str]:
        """Lines: on missing leads and defects, on what readers assumed, and on recordings that trained the model."""
        lines = [*messages.describe(_explain(self._defects)), *messages.describe(self._notes)]
        if self._seen:
            seen = f"{self._seen} of {self.count} recordings {'was' if self._seen == 1 else 'were'}"
            lines.append(f"{seen} in the training set of this model: no measure of how good it is")
        return lines


def _explain(defects: Mapping[str, int]) -> dict[str, int]:
    """Each with what it means."""
    meanings = quality.FLAGS | {NO_SIGNAL: "NaN in place of numbers"}
    return {f"{each}: {meanings[each]}" if each in meanings else each: count for each, count in defects.items()}
