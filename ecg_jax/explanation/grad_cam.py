"""Grad-CAM (Selvaraju et al. 2017, ICCV): when a layer's channels speak for a label, which tells no leads apart.

Each channel is weighted by the mean over time of the logit's gradient with respect to it; negative sums are cut off.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from ecg_jax.errors import InputError
from ecg_jax.explanation.logits import Rows
from ecg_jax.models import features
from ecg_jax.models.network import Network


def choose_layer(network: Network, shape: tuple[int, int], most: float) -> str:
    """The last part of the trunk whose steps are at most so many samples long, of signals `(samples, leads)`.

    Where all are longer, the first.
    """
    timed = _find_timed(features.list_modules(network, shape))
    parts = [*(path for path in timed if path.count("/") == 1), features.TRUNK]
    short = [path for path in parts if timed[path][0] * most >= shape[0]]
    return short[-1] if short else parts[0]


def _find_timed(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {path: shape for path, shape in shapes.items() if len(shape) > 1 and shape[0] > 1}


@functools.partial(jax.jit, static_argnames=("network", "layer"))
def grad_cam(network: Network, variables: Any, signal: Rows, output: int, layer: str) -> jax.Array:
    """Attributes a logit to times.

    Args:
        network: Any network.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit.
        layer: One of `models.list_modules` whose first axis is time.

    Returns:
        `[B, T, L]` float32, the same in all leads, not negative: linear between the layer's steps, whose values add up
        to the same over time and leads.

    Raises:
        InputError: on a layer that the network does not have, or that has no axis of time.
    """
    samples, leads = signal.shape[1:]
    shapes = features.list_modules(network, (samples, leads))
    timed = _find_timed(shapes)
    if layer not in timed:
        why = "has no axis of time" if layer in shapes else "is not there"
        raise InputError(f"layer is {layer!r}, which {why}; known: {', '.join(timed)}")
    x = jnp.asarray(signal, jnp.float32)

    def score(offset: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, given = features.apply_with_offset(network, variables, x, layer, offset)
        return jnp.take(logits, output, axis=1).sum(), given

    shape = (len(signal), *shapes[layer])
    gradient, given = jax.grad(score, has_aux=True)(jnp.zeros(shape))
    channels = math.prod(shape[2:])
    gradient, given = (each.reshape(*shape[:2], channels).astype(jnp.float32) for each in (gradient, given))
    steps = jax.nn.relu(jnp.einsum("btc,bc->bt", given, gradient.mean(axis=1)))
    times = jax.image.resize(steps, (len(signal), samples), "linear") * (shape[1] / samples)
    return jnp.repeat(times[..., None] / leads, leads, axis=2)
