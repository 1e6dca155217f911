"""On the device: int16 batches become a contract's arrays, and a store kept in its memory is read by batch."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.data import preprocess, preprocess_on_device
from ecg_jax.data.examples import Examples, StoredExamples
from ecg_jax.data.store import INVALID, STEPS_PER_MILLIVOLT
from ecg_jax.errors import InputError

Batch = dict[str, Any]  # of arrays
_BLOCK = 1 << 16  # samples that are copied to the device at a time


def create_decoder(examples: Examples | StoredExamples) -> Callable[[Batch], Batch]:
    """Builds `batch -> batch`, jittable: int16 in, what `preprocess.create_input` gives out.

    The result equals `create_input` of the recording within half a microvolt, times the
    contract's factor. Batches of `Examples` are that already and pass unchanged.
    """
    if isinstance(examples, Examples):
        return lambda batch: batch
    columns = None if examples.columns == tuple(range(len(examples.store.leads))) else np.array(examples.columns)
    amplitude_steps = examples.contract.amplitude_steps(examples.store.normalized)

    def decode(batch: Batch) -> Batch:
        steps = batch["signal"] if columns is None else batch["signal"][..., columns]
        valid = steps != INVALID
        signal = jnp.where(valid, steps.astype(jnp.float32) * jnp.float32(1 / STEPS_PER_MILLIVOLT), 0)
        signal = preprocess_on_device.run(amplitude_steps, signal, valid)
        return batch | {"signal": signal, "valid": valid.any(axis=-1)}

    return decode


class Resident:
    """Recordings of a store in the memory of every device, from which batches are gathered there.

    No sample crosses the bus per step; the same seed gives the same batches as from the host.
    """

    def __init__(self, examples: StoredExamples, rows: np.ndarray, sharding: jax.sharding.Sharding) -> None:
        """Copies recordings to the devices, a block at a time.

        Args:
            examples: The store.
            rows: Numbers of the recordings, ascending.
            sharding: Where the copy lies (replicated).

        Raises:
            InputError: when they do not fit.
        """
        self._examples = examples
        self._lengths = np.asarray(examples.store.lengths, np.int64)
        self._starts = np.full(len(examples.store), -1, np.int64)
        margin = examples.contract.samples  # on both sides, so that no slice leaves the array
        ends = np.cumsum(self._lengths[rows])
        self._starts[rows] = ends - self._lengths[rows] + margin
        shape = measure_resident(examples, rows, sharding)
        self.array = jax.jit(lambda: jnp.full(shape, INVALID, jnp.int16), out_shardings=sharding)()
        copy = jax.jit(
            lambda array, block, start: jax.lax.dynamic_update_slice(array, block, (start, jnp.zeros_like(start))),
            donate_argnums=0,
            out_shardings=sharding,
        )
        for start, block in _blocks((examples.store.read_steps(int(row)) for row in rows), shape[1]):
            self.array = copy(self.array, block, np.int32(margin + start))

    def place(self, rows: np.ndarray, crops: np.ndarray | None = None, stand_ins: np.ndarray | None = None) -> Batch:
        """As `StoredExamples.load`, with `start` in the array, `first` and `count`, `[B]` int32, for `signal`."""
        del stand_ins
        places = [
            preprocess.place(
                int(self._lengths[row]), self._examples.contract.samples, crops[i] if crops is not None else None
            )
            for i, row in enumerate(rows)
        ]
        begin, first, count = np.array(places, np.int32).reshape(-1, 3).T
        start = (self._starts[rows] + begin - first).astype(np.int32)
        return {"start": start, "first": first, "count": count} | self._examples.load_facts(rows)


def create_gather(samples: int) -> Callable[[jax.Array, Batch], Batch]:
    """Builds `(Resident.array, batch of Resident.place) -> batch with signal [B, samples, leads]`, jittable."""

    def gather(array: jax.Array, batch: Batch) -> Batch:
        def read(start: jax.Array, first: jax.Array, count: jax.Array) -> jax.Array:
            steps = jax.lax.dynamic_slice_in_dim(array, start, samples)
            time = jnp.arange(samples)[:, None]
            return jnp.where((time >= first) & (time < first + count), steps, INVALID)

        places = {key: batch[key] for key in ("start", "first", "count")}
        rest = {key: value for key, value in batch.items() if key not in places}
        return rest | {"signal": jax.vmap(read)(**places)}

    return gather


def _blocks(recordings: Iterator[np.ndarray], leads: int) -> Iterator[tuple[int, np.ndarray]]:
    """Joins recordings into blocks of one size, the last one filled up; yields each with its first sample's number."""
    block = np.full((_BLOCK, leads), INVALID, np.int16)
    start = used = 0
    for steps in recordings:
        while len(steps):
            part = steps[: _BLOCK - used]
            block[used : used + len(part)] = part
            used, steps = used + len(part), steps[len(part) :]
            if used == _BLOCK:
                yield start, block
                block = np.full((_BLOCK, leads), INVALID, np.int16)
                start, used = start + _BLOCK, 0
    if used:
        yield start, block


def measure_resident(examples: StoredExamples, rows: np.ndarray, sharding: jax.sharding.Sharding) -> tuple[int, int]:
    """Measures what `Resident` would hold, `(samples, leads)` of int16; raises `InputError` where that does not fit."""
    samples = int(np.asarray(examples.store.lengths, np.int64)[rows].sum()) + 2 * examples.contract.samples + _BLOCK
    shape = (samples, len(examples.store.leads))
    needed = shape[0] * shape[1] * 2
    if shape[0] >= 2**31:
        raise InputError(f"data.mode=device: {shape[0]} samples are more than one array addresses; use data.mode=host")
    device: Any
    for device in sharding.addressable_devices:
        room = (device.memory_stats() or {}).get("bytes_limit")
        if room and needed > 0.8 * room:
            raise InputError(
                f"data.mode=device: the training recordings take {needed / 2**30:.1f} GiB, {device} has "
                f"{room / 2**30:.1f}; use data.mode=host"
            )
    return shape
