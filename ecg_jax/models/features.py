"""What a trunk computes on the way: its modules in the order of their calls, and what they give, pooled over time."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ecg_jax.errors import InputError
from ecg_jax.models.layers import Trunk
from ecg_jax.models.network import Network, shapes
from ecg_jax.models.outputs import OUTPUT

TRUNK = "trunk"
HEAD = "head"
POOLS = ("mean", "max", "flatten", HEAD)


def list_modules(network: Network, shape: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The trunk's modules in the order of their first calls; computes nothing.

    Args:
        network: Any network.
        shape: `(samples, leads)` of an example.

    Returns:
        By path (`trunk`, `trunk/unit1`, `trunk/unit1/conv1`, ...) the shape of what the module gives for one example,
        of a module that gives several arrays the first's.
    """
    found: dict[str, tuple[int, ...]] = {}

    def record(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        path = _find_path(context)
        if path in found or path.split("/")[0] != TRUNK:
            return call(*args, **kwargs)
        found[path] = ()
        given = call(*args, **kwargs)
        found[path] = _take_first(given).shape[1:]
        return given

    with nn.intercept_methods(record):
        shapes(network, shape)
    return found


def compute(network: Network, variables: Any, signal: jax.Array, layer: str = TRUNK, pool: str = "mean") -> jax.Array:
    """Embeds signals.

    Args:
        network: Any network; what follows the layer needs no variables.
        variables: `{"params", "batch_stats"}`.
        signal: `[B, T, leads]` in the unit of the input contract.
        layer: One of `list_modules`.
        pool: `mean` or `max` over time, `flatten`, or `head`: the input of the output layer, after the trunk alone.

    Returns:
        `[B, D]` float32. What has no axis of time is taken as it is.

    Raises:
        InputError: on a layer that the network does not have, or another pool.
    """
    if pool not in POOLS or (pool == HEAD and layer != TRUNK):
        known = ", ".join(POOLS)
        raise InputError(f"pool is {pool!r} of layer {layer}; known: {known}, the last of the layer {TRUNK} alone")
    found = _capture(network, variables, signal, OUTPUT if pool == HEAD else layer)
    if found is None:
        samples, leads = signal.shape[1:]
        listed = ", ".join(list_modules(network, (samples, leads)))
        raise InputError(f"layer is {layer!r}; the network has {listed}")
    found = found.astype(jnp.float32)
    if found.ndim > 2 and pool in ("mean", "max"):
        found = found.mean(axis=1) if pool == "mean" else found.max(axis=1)
    return found.reshape(len(found), -1)


def _capture(network: Network, variables: Any, signal: jax.Array, path: str) -> jax.Array | None:
    """What a module of the trunk gives when it is first called, or what the output layer is given; None if it is not.

    Compiled, what follows is left out, as nothing depends on it.
    """
    found: list[jax.Array] = []

    def record(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        if found or _find_path(context) != path:
            return call(*args, **kwargs)
        if path == OUTPUT:
            found.append(args[0])
            return jnp.zeros((len(args[0]), 1), args[0].dtype)  # there may be no weights
        given = call(*args, **kwargs)
        found.append(_take_first(given))
        return given

    def apply(network: Network, signal: jax.Array) -> None:
        index = jnp.arange(len(signal))
        features = network.trunk(signal, index, False)
        if path == OUTPUT:
            network.head(features, index, False)

    with nn.intercept_methods(record):
        keep_activations(network).apply(variables, signal, method=apply)
    return found[0] if found else None


def apply_with_offset(
    network: Network, variables: Any, signal: jax.Array, layer: str, offset: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Logits `[B, labels]` where `offset` is added to what a layer gives, and that `[B, ...]`, of `list_modules`."""
    found: list[jax.Array] = []

    def record(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        given = call(*args, **kwargs)
        if found or _find_path(context) != layer:
            return given
        leaves, structure = jax.tree.flatten(given)
        found.append(leaves[0])
        return jax.tree.unflatten(structure, [leaves[0] + offset.astype(leaves[0].dtype), *leaves[1:]])

    with nn.intercept_methods(record):
        logits: Any = keep_activations(network).apply(variables, signal)
    return logits, found[0]


def keep_activations(network: Network) -> Network:
    """The same without `Trunk.checkpoint_activations`: what is computed within a block could not be taken out of it."""
    trunk = network.trunk
    return network.clone(trunk=trunk.clone(checkpoint_activations=False)) if isinstance(trunk, Trunk) else network


def _find_path(context: nn.module.InterceptorContext) -> str:
    """The path of a module that is called; empty for another of its methods."""
    return "/".join(context.module.path) if context.method_name == "__call__" else ""


def _take_first(given: Any) -> jax.Array:
    return jax.tree.leaves(given)[0]
