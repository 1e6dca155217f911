"""From a source to batches, through grain: sharded over processes, prefetched, checkpointable.

The global batch of a step is a pure function of (seed, step). Of P processes, number k takes the places p of it with
p % P == k, so any number of them sees the same batches.
"""

import collections
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grain
import jax
import numpy as np
from absl import flags

from ecg_jax.data.sampling import Order
from ecg_jax.data.sources import Batch, Source
from ecg_jax.errors import InputError


class Devices(Protocol):
    """How batches are laid out over devices; see `runtime.parallel.Parallel`."""

    @property
    def replicated(self) -> jax.sharding.Sharding:
        """Where arrays lie that every device holds whole."""

    def shard(self, batch: Batch) -> Batch:
        """Transfers this process's part of a batch."""

    def shard_stacked(self, batches: Batch) -> Batch:
        """Transfers its part of several batches."""

    def compile_gather(self, gather: Callable[[Any, Batch], Batch]) -> Callable[[Any, Batch], Batch]:
        """Compiles `(replicated array, batch) -> batch`."""


def read_steps(
    source: Source,
    order: Order,
    *,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 0,
    workers: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Opens, at step 0, the endless stream of this process's part of the global batches: see `Source.read_step`.

    Args:
        source: Where examples come from; its split `train` is used.
        order: Of its recordings.
        process_index: This process.
        process_count: All of them; they divide the batch.
        threads: Threads that read ahead; 0 for a number that suits the machine.
        workers: Processes that read ahead, for formats that are slow to read; 0 for threads alone. What they drop or
            refuse is not listed in this process.

    Raises:
        InputError: when the processes do not divide the batch.
    """
    if order.batch_size % process_count:
        raise InputError(f"train.batch_size is {order.batch_size}, which {process_count} processes do not divide")
    places = np.arange(process_index, order.batch_size, process_count)
    steps = grain.MapDataset.range(1).repeat(None)
    loaded = steps.map_with_index(functools.partial(_read_step, source, order, places))
    stream = loaded.to_iter_dataset(_read_options(threads))
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain's worker processes read flags, outside a program too
        stream = stream.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2))
    return iter(stream)


def _read_step(source: Source, order: Order, places: np.ndarray, step: int, _: object) -> Batch:
    return source.read_step(order, step, places)


class TrainIterator:
    """Batches that are transferred to the devices before they are needed; its state counts only those handed out."""

    def __init__(
        self, batches: grain.DatasetIterator[Batch], put: Callable[[Batch], Batch], *, depth: int = 2, group: int = 1
    ) -> None:
        """Wraps a stream.

        Args:
            batches: Of `read_steps`.
            put: Starts the transfer of a batch, without waiting for it.
            depth: Batches under way.
            group: Above 1, `put` is given, and iterating yields, so many batches at once, stacked.
        """
        self._batches = batches
        self._put = put
        self._depth = depth
        self._group = group
        self._ahead: collections.deque[tuple[Batch, dict[str, Any]]] = collections.deque()
        self._state = batches.get_state()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while len(self._ahead) < self._depth:
            self._ahead.append((self._put(self._read()), self._batches.get_state()))
        batch, self._state = self._ahead.popleft()
        return batch

    def _read(self) -> Batch:
        if self._group == 1:
            return next(self._batches)
        read = [next(self._batches) for _ in range(self._group)]
        return {key: np.stack([batch[key] for batch in read]) for key in read[0]}

    @property
    def num_ready(self) -> int:
        """Steps that have been read and not yet handed out."""
        return len(self._ahead) * self._group

    def get_state(self) -> dict[str, Any]:
        """The position after the batch that was handed out last, JSON-ready."""
        return self._state

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a position; `{"step": n}` is one of endless data in checkpoints of earlier versions."""
        self._batches.set_state({"next_index": state["step"]} if "step" in state else state)
        self._ahead.clear()
        self._state = state


def create_train_iterator(
    source: Source, order: Order, devices: Devices, *, steps_per_call: int = 1, threads: int = 0, workers: int = 0
) -> TrainIterator:
    """Opens the training stream of a run at step 0.

    Args:
        source: Its data.
        order: Of its recordings.
        devices: Where its batches go.
        steps_per_call: Batches that are handed out at once.
        threads: See `read_steps`.
        workers: Likewise.

    Returns:
        An iterator over batches on the devices that `source.decode_train` takes; with `steps_per_call` above 1,
        over `{"array", "places"}`, see `steps.create_scanned_step`.
    """
    batches = read_steps(
        source,
        order,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        threads=threads,
        workers=workers,
    )
    array = source.fill(devices.replicated)
    if steps_per_call > 1:

        def put(places: Batch) -> Batch:
            return {"array": array, "places": devices.shard_stacked(places)}

        return TrainIterator(batches, put, group=steps_per_call)
    if array is None:
        return TrainIterator(batches, devices.shard)
    gather = devices.compile_gather(source.gather)
    return TrainIterator(batches, lambda places: gather(array, devices.shard(places)))


def create_eval_batches(
    source: Source,
    rows: np.ndarray,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 0,
) -> Iterator[Batch]:
    """Goes once through some recordings, in order; the last batch is filled up with masked blanks.

    Yields:
        What `source.load` returns, and `index` `[B]` int32, which counts through `rows` and is -1 for blanks.
    """
    places = np.arange(process_index, batch_size, process_count)
    padded = np.concatenate([rows, np.full(-len(rows) % batch_size, -1)]).astype(np.int64)

    def load(step: int) -> Batch:
        positions = step * batch_size + places
        index = np.where(positions < len(rows), positions, -1).astype(np.int32)
        return source.load(padded[positions]) | {"index": index}

    return iter(grain.MapDataset.range(len(padded) // batch_size).map(load).to_iter_dataset(_read_options(threads)))


def _read_options(threads: int) -> grain.ReadOptions:
    threads = threads or min(8, max(2, (os.cpu_count() or 2) // 2))
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + 1)
