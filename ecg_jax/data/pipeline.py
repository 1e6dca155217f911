"""From a data set to batches, through grain.

The global batch of a step is a pure function of (seed, step): position p of the endless
shuffled stream belongs to step p // batch_size. Of P processes, number k takes the
positions p with p % P == k, so any number of them sees the same batches.
"""

import os
import threading
from collections.abc import Iterator
from typing import Any

import grain
import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.data.preprocess import create_input
from ecg_jax.errors import InputError

Batch = dict[str, Any]  # of arrays


class Examples:
    """Recordings as a contract's arrays, by number, kept in memory as far as there is room."""

    def __init__(self, dataset: Dataset, contract: InputContract, cache_gb: float = 0.0) -> None:
        """Wraps a data set.

        Args:
            dataset: Its recordings.
            contract: What the network eats.
            cache_gb: Memory for examples that were read before.
        """
        self.dataset = dataset
        self.contract = contract
        samples, leads = contract.shape
        self._room = int(cache_gb * 2**30 / (samples * (4 * leads + 1)))
        self._cache: dict[int, Batch] = {}
        self._lock = threading.Lock()
        self.dropped: set[str] = set()
        self.gaps: dict[str, int] = {}

    def read(self, row: int) -> Batch:
        """Reads one example.

        Returns:
            `signal` `[T, leads]` float32, `valid` `[T]` bool, `label` `[C]` float32, `mask`
            bool: False when the recording is all zeros, which drops it; its id is kept
            in `dropped`, and the number of samples that were NaN or infinite in `gaps`.
        """
        if row in self._cache:
            return self._cache[row]
        recording = self.dataset.read(row)
        signal, valid = create_input(recording, self.contract)
        example = {
            "signal": signal,
            "valid": valid.any(axis=1),
            "label": self.dataset.labels[row],
            "mask": np.array(not recording.is_degenerate),
        }
        with self._lock:
            if recording.is_degenerate:
                self.dropped.add(recording.id)
            if recording.gaps:
                self.gaps[recording.id] = recording.gaps
            if len(self._cache) < self._room:
                self._cache[row] = example
        return example

    def blank(self) -> Batch:
        """An example that stands where there is none."""
        return {
            "signal": np.zeros(self.contract.shape, np.float32),
            "valid": np.zeros(self.contract.samples, bool),
            "label": np.full(len(self.dataset.label_names), np.nan, np.float32),
            "mask": np.array(False),
        }


class TrainBatches:
    """An endless iterator over this process's part of the shuffled global batches.

    Iterating yields dicts with `signal`, `valid`, `label`, `mask` and `index` (place in
    the global batch, int32), each of `batch_size / processes` examples, always full: where
    a recording is all zeros, the next one of the split stands in for it.
    """

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        seed: int,
        process_index: int = 0,
        process_count: int = 1,
        threads: int = 0,
    ) -> None:
        """Opens the stream at step 0.

        Args:
            examples: Where examples come from; its split `train` is used.
            batch_size: Of the global batch; a multiple of `process_count`.
            seed: Of the order.
            process_index: This process.
            process_count: All of them.
            threads: That read ahead; 0 for a number that suits the machine.
        """
        if batch_size % process_count:
            raise InputError(f"train.batch_size is {batch_size}, which {process_count} processes do not divide")
        rows = examples.dataset.indices("train")
        self._batch_size = batch_size
        self._order = grain.MapDataset.source(rows).seed(seed).shuffle().repeat(None)
        self._rows = rows
        self._examples = examples
        loaded = self._order.map_with_index(
            lambda position, row: self._read(row)[1] | {"index": np.int32(position % batch_size)}
        )
        local = loaded[process_index::process_count].batch(batch_size // process_count)
        self._iterator = iter(local.to_iter_dataset(_read_options(threads)))

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._iterator)

    def _read(self, row: int) -> tuple[int, Batch]:
        """The row itself and its example; if it is all zeros, the next training recording that is not."""
        start = int(np.searchsorted(self._rows, row))
        for offset in range(len(self._rows)):
            candidate = int(self._rows[(start + offset) % len(self._rows)])
            example = self._examples.read(candidate)
            if example["mask"]:
                return candidate, example
        raise InputError(f"data set {self._examples.dataset.name}: every training recording is all zeros")

    def ids(self, step: int) -> list[str]:
        """Recordings of the global batch of a step."""
        first = step * self._batch_size
        rows = [self._read(self._order[p])[0] for p in range(first, first + self._batch_size)]
        return [str(self._examples.dataset.ids[row]) for row in rows]

    def get_state(self) -> dict[str, Any]:
        """The position, JSON-ready."""
        return self._iterator.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a position."""
        self._iterator.set_state(state)


def create_eval_batches(
    examples: Examples,
    rows: np.ndarray,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 0,
) -> Iterator[Batch]:
    """Goes once through some recordings, in order; the last batch is filled up with masked blanks.

    Yields:
        As `TrainBatches`; here `index` counts through `rows`, and is -1 for blanks.
    """
    total = -(-len(rows) // batch_size) * batch_size

    def load(position: int) -> Batch:
        if position >= len(rows):
            return examples.blank() | {"index": np.int32(-1)}
        return examples.read(int(rows[position])) | {"index": np.int32(position)}

    loaded = grain.MapDataset.range(total).map(load)
    local = loaded[process_index::process_count].batch(batch_size // process_count)
    return iter(local.to_iter_dataset(_read_options(threads)))


def _read_options(threads: int) -> grain.ReadOptions:
    threads = threads or min(8, max(2, (os.cpu_count() or 2) // 2))
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 2)
