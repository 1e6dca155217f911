"""From examples to batches, through grain.

The global batch of a step is a pure function of (seed, step): position p of the endless
stream belongs to step p // batch_size. Of P processes, number k takes the positions p
with p % P == k, so any number of them sees the same batches.
"""

import collections
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import grain
import numpy as np
from absl import flags

from ecg_jax.data.decode import Resident
from ecg_jax.data.endless import EndlessBatches
from ecg_jax.data.examples import Batch, Examples, StoredExamples
from ecg_jax.data.sampling import Order
from ecg_jax.errors import InputError

AnyExamples = Examples | StoredExamples


class TrainBatches:
    """An endless iterator over this process's part of the global batches.

    Iterating yields dicts with `signal`, `label`, `mask`, `index` (place in the global
    batch, int32) and, where the signal is not int16, `valid`; each of
    `batch_size / processes` examples, always full: where a recording is all zeros or
    refused, the next one of the split stands in for it. With `resident`, places in the
    device's memory stand for `signal`.
    """

    def __init__(
        self,
        examples: AnyExamples,
        *,
        batch_size: int,
        seed: int,
        sampling: str = "shuffle",
        random_crop: bool = False,
        resident: Resident | None = None,
        process_index: int = 0,
        process_count: int = 1,
        threads: int = 0,
        workers: int = 0,
    ) -> None:
        """Opens the stream at step 0.

        Args:
            examples: Where examples come from; its split `train` is used.
            batch_size: Of the global batch; a multiple of `process_count`.
            seed: Of the order, and of crops.
            sampling: See `sampling.Order`.
            random_crop: Whether recordings longer than the contract's length are cropped at a
                place drawn anew each time, instead of to their centre.
            resident: The store on the device, if batches are gathered there.
            process_index: This process.
            process_count: All of them.
            threads: That read ahead; 0 for a number that suits the machine.
            workers: Processes that read ahead, for formats that are slow to read; 0 for threads
                alone. What they drop or refuse is not listed in this process.
        """
        if batch_size % process_count:
            raise InputError(f"train.batch_size is {batch_size}, which {process_count} processes do not divide")
        order = Order(examples.dataset, seed, sampling)
        self._load = _Loader(examples, order, batch_size, random_crop, resident)
        self._all_places = np.arange(batch_size)
        self._ids = examples.dataset.ids
        places = np.arange(process_index, batch_size, process_count)
        steps = grain.MapDataset.range(1).repeat(None)
        loaded = steps.map_with_index(functools.partial(_load_step, self._load, places))
        stream = loaded.to_iter_dataset(_read_options(threads))
        if workers:
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # grain's worker processes read flags, outside a program too
            stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2))
        self._iterator = iter(stream)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._iterator)

    def ids(self, step: int) -> list[str]:
        """Recordings of the global batch of a step."""
        return [str(self._ids[row]) for row in self._load(step, self._all_places)["row"]]

    def get_state(self) -> dict[str, Any]:
        """The position, JSON-ready."""
        return self._iterator.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a position."""
        self._iterator.set_state(state)


@dataclasses.dataclass(frozen=True)
class _Loader:
    """Any part of the global batch of any step; apart from `TrainBatches`, so that processes can be sent it."""

    examples: AnyExamples
    order: Order
    batch_size: int
    random_crop: bool
    resident: Resident | None

    def __call__(self, step: int, places: np.ndarray) -> Batch:
        positions = step * self.batch_size + places
        rows = self.order.rows_at(positions)
        crops = self.order.crops_at(positions) if self.random_crop else None
        read = self.resident.place if self.resident else self.examples.load
        return read(rows, crops, self.order.rows) | {"index": places.astype(np.int32)}


def _load_step(load: _Loader, places: np.ndarray, step: int, _: object) -> Batch:
    return load(step, places)


class Prefetched:
    """Batches on their way to the device before they are asked for; a checkpoint sees only those handed out."""

    def __init__(
        self, batches: TrainBatches | EndlessBatches, put: Callable[[Batch], Any], depth: int = 2, group: int = 0
    ) -> None:
        """Wraps a stream.

        Args:
            batches: The stream.
            put: Starts the transfer of a batch, without waiting for it.
            depth: Batches under way.
            group: Where not 0, `put` is given, and iterating yields, as many batches at once, stacked.
        """
        self._batches = batches
        self._put = put
        self._depth = depth
        self._group = group
        self._ahead: collections.deque[tuple[Any, dict[str, Any]]] = collections.deque()
        self._state = batches.get_state()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while len(self._ahead) < self._depth:
            self._ahead.append((self._put(self._read()), self._batches.get_state()))
        batch, self._state = self._ahead.popleft()
        return batch

    def _read(self) -> Batch:
        if not self._group:
            return next(self._batches)
        read = [next(self._batches) for _ in range(self._group)]
        return {key: np.stack([batch[key] for batch in read]) for key in read[0]}

    @property
    def num_ready(self) -> int:
        """Batches that have been read and not yet handed out."""
        return len(self._ahead)

    def ids(self, step: int) -> list[str]:
        """Recordings of the global batch of a step."""
        return self._batches.ids(step)

    def get_state(self) -> dict[str, Any]:
        """The position after the batch that was handed out last, JSON-ready."""
        return self._state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a position."""
        self._batches.set_state(state)
        self._ahead.clear()
        self._state = state


def create_eval_batches(
    examples: AnyExamples,
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
    places = np.arange(process_index, batch_size, process_count)
    padded = np.concatenate([rows, np.full(-len(rows) % batch_size, -1)]).astype(np.int64)

    def load(step: int) -> Batch:
        positions = step * batch_size + places
        index = np.where(positions < len(rows), positions, -1).astype(np.int32)
        return examples.load(padded[positions]) | {"index": index}

    return iter(grain.MapDataset.range(len(padded) // batch_size).map(load).to_iter_dataset(_read_options(threads)))


def _read_options(threads: int) -> grain.ReadOptions:
    threads = threads or min(8, max(2, (os.cpu_count() or 2) // 2))
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
