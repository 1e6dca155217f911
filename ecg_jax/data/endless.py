"""Training examples without end, drawn on the device inside the step: no file is read, no example comes twice.

The example at a place of the global batch of a step is a pure function of (seed, step, place), whatever the number of
devices and processes.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.contract import InputContract
from ecg_jax.data import preprocess_on_device
from ecg_jax.data.datasets.dataset import Dataset, DrawFn
from ecg_jax.data.examples import Batch
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS
from ecg_jax.simulation import SAMPLING_RATE

_STREAM = 2**31 - 1  # apart from the streams of a data set's splits, and of the training step


class EndlessBatches:
    """An endless iterator over this process's part of the global batches: `step` and `index`, `[B]` int32."""

    def __init__(self, *, batch_size: int, process_index: int = 0, process_count: int = 1) -> None:
        """Opens the stream at step 0.

        Args:
            batch_size: Of the global batch.
            process_index: This process.
            process_count: All of them.

        Raises:
            InputError: when the processes do not divide the batch.
        """
        if batch_size % process_count:
            raise InputError(f"train.batch_size is {batch_size}, which {process_count} processes do not divide")
        self._places = np.arange(process_index, batch_size, process_count, dtype=np.int32)
        self._batch_size = batch_size
        self._step = 0

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = {"step": np.full_like(self._places, self._step), "index": self._places}
        self._step += 1
        return batch

    def ids(self, step: int) -> list[str]:
        """Names of the examples of the global batch of a step."""
        return [f"step {step} place {place}" for place in range(self._batch_size)]

    def get_state(self) -> dict[str, Any]:
        """The position, JSON-ready."""
        return {"step": self._step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a position."""
        self._step = int(state["step"])


def create_decoder(dataset: Dataset, contract: InputContract, seed: int) -> Callable[[Batch], Batch]:
    """Builds `batch of EndlessBatches -> batch`, jittable.

    Args:
        dataset: One that can `draw`.
        contract: What the network eats.
        seed: Another seed, other examples.

    Returns:
        A function whose result has `signal` `[B, T, leads]` float32, `valid` `[B, T]` bool, `label`, `mask` (true) and
        `index`.

    Raises:
        InputError: when the data set's recordings are finite, or at another sampling rate.
    """
    draw = require_draw(dataset, contract)
    columns = np.array([LEADS.index(lead) for lead in contract.leads])
    steps = contract.signal_steps(SAMPLING_RATE) + contract.amplitude_steps()

    def create(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        signal, valid, label = draw(key, contract.samples, contract.sampling_rate)
        return preprocess_on_device.run(steps, signal[:, columns], valid[:, None]), valid, label

    def decode(batch: Batch) -> Batch:
        signal, valid, label = jax.vmap(create)(create_keys(seed, batch["step"], batch["index"]))
        return {
            "signal": signal,
            "valid": valid,
            "label": label,
            "mask": jnp.ones(batch["index"].shape, bool),
            "index": batch["index"],
        }

    return decode


def create_keys(seed: int, step: jax.Array, place: jax.Array) -> jax.Array:
    """Keys `[B]` of examples, by step and place, `[B]` each; no recording of a data set has one of them."""
    root = jax.random.fold_in(jax.random.key(seed), _STREAM)
    return jax.vmap(lambda step, place: jax.random.fold_in(jax.random.fold_in(root, step), place))(step, place)


def require_draw(dataset: Dataset, contract: InputContract) -> DrawFn:
    """Returns `dataset.draw`; raises `InputError` where there is none, or the contract wants another sampling rate."""
    if contract.sampling_rate != SAMPLING_RATE:
        raise InputError(
            f"data.mode is 'endless', which draws at {SAMPLING_RATE:g} Hz, but contract.sampling_rate is "
            f"{contract.sampling_rate:g} Hz; set it to that, or use data.mode=host"
        )
    if dataset.draw is None:
        raise InputError(
            f"data.mode is 'endless', but data set {dataset.name} has {len(dataset.indices('train'))} training "
            "recordings; only simulated ECGs of data.simulated.population=hospital never end"
        )
    return dataset.draw
