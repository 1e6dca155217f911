"""One step on one device or many: jitted over a mesh, or pmapped.

Both keep the state replicated and split every batch over devices; with the same global
batch they compute the same update. `pmap` can also leave BatchNorm's statistics local.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ecg_jax.errors import InputError

AXIS = "devices"
Tree = TypeVar("Tree")  # of arrays


@dataclasses.dataclass(frozen=True)
class Parallel:
    """The layout of steps over devices.

    Attributes:
        mode: `jit` or `pmap`.
        mesh: All devices of all processes, one axis.
        sync_batchnorm: Whether BatchNorm averages its statistics over devices.
    """

    mode: str
    mesh: Mesh
    sync_batchnorm: bool

    @property
    def axis_name(self) -> str | None:
        """The mapped axis inside a step; None under jit, where a batch looks whole."""
        return AXIS if self.mode == "pmap" else None

    @property
    def norm_axis_name(self) -> str | None:
        """The axis that BatchNorm averages over."""
        return self.axis_name if self.sync_batchnorm else None

    @property
    def replicated(self) -> NamedSharding:
        """Placement of arrays that every device holds whole."""
        if self.mode == "pmap" and jax.process_count() > 1:  # where pmap takes and returns arrays of each process
            return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec())
        return NamedSharding(self.mesh, PartitionSpec())

    def replicate(self, tree: Tree) -> Tree:
        """Puts a tree of arrays, the same on every process, on every device."""
        if self.mode == "pmap" and jax.process_count() > 1:
            return jax.device_put(jax.tree.map(np.asarray, tree), self.replicated)
        return self.snapshot(tree)

    def snapshot(self, tree: Tree) -> Tree:
        """Copies a replicated tree into arrays that span all processes and share no buffer with it."""
        sharding = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.array(leaf)), tree)

    def shard(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """Splits this process's part `[B / processes, ...]` of a global batch over its devices."""
        if self.mode == "pmap":
            count = jax.local_device_count()
            return {key: value.reshape(count, -1, *value.shape[1:]) for key, value in batch.items()}
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        return {key: jax.make_array_from_process_local_data(sharding, value) for key, value in batch.items()}

    def shard_stacked(self, batches: dict[str, np.ndarray]) -> dict[str, Any]:
        """The same for several batches at once, `[steps, B / processes, ...]`; not under pmap."""
        sharding = NamedSharding(self.mesh, PartitionSpec(None, AXIS))
        return {key: jax.make_array_from_process_local_data(sharding, value) for key, value in batches.items()}

    def compile_train(self, step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compiles `(state, batch) -> state`; the state's buffers are donated."""
        if self.mode == "pmap":
            donated = (0,) if jax.process_count() == 1 else ()
            return jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=donated)
        return jax.jit(step, donate_argnums=0, out_shardings=NamedSharding(self.mesh, PartitionSpec()))

    def compile_gather(self, gather: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compiles `(replicated array, batch) -> batch`, each device making its own part of the batch."""
        if self.mode == "pmap":
            return jax.pmap(gather, AXIS, in_axes=(None, 0))
        return jax.jit(gather, out_shardings=NamedSharding(self.mesh, PartitionSpec(AXIS)))

    def compile_eval(self, step: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Compiles `(variables, batch) -> arrays of the whole global batch`."""
        if self.mode == "pmap":
            return jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None)
        return jax.jit(step, out_shardings=NamedSharding(self.mesh, PartitionSpec()))


def create(
    *, mode: str, sync_batchnorm: bool, batch_size: int, accumulate: int = 1, steps_per_call: int = 1
) -> Parallel:
    """Chooses the layout.

    Args:
        mode: `auto` (jit on one device, pmap on several), `jit` or `pmap`.
        sync_batchnorm: False leaves BatchNorm's batch statistics local to each device;
            only under pmap. The running statistics are averaged either way.
        batch_size: Global; must divide by the number of devices, times `accumulate`.
        accumulate: Micro-batches of a batch.
        steps_per_call: Steps in one call; several only under jit.

    Raises:
        InputError: when it does not, or a mode does not support a setting.
    """
    devices = jax.devices()
    share = len(devices) * accumulate
    if batch_size < 1 or batch_size % share:
        parts = f" of {accumulate} parts each (train.accumulate)" if accumulate > 1 else ""
        near = max(share, batch_size // share * share)
        raise InputError(
            f"train.batch_size is {batch_size}, which {len(devices)} devices{parts} do not divide; try {near}"
        )
    if mode == "auto":
        mode = "jit" if len(devices) == 1 and sync_batchnorm else "pmap"
    if mode == "jit" and not sync_batchnorm:
        raise InputError("parallel.sync_batchnorm is False, which only parallel.mode=pmap can do")
    if mode == "pmap" and steps_per_call > 1:
        raise InputError(f"train.steps_per_call is {steps_per_call}, which only parallel.mode=jit can do")
    return Parallel(mode, Mesh(np.array(devices), (AXIS,)), sync_batchnorm)
