"""Exponential moving average of weights and BatchNorm statistics."""

from typing import Any

import jax
import jax.numpy as jnp


def update_average(average: Any, fresh: Any, *, decay: float, step: jax.Array) -> Any:
    """Moves an average towards fresh values, with a decay that warms up.

    The decay is `min(decay, (1 + step) / (10 + step))`, as in TensorFlow's `ExponentialMovingAverage` with
    `num_updates`. With a constant decay of 0.999, initial weights would still count 82 % after 200 steps; so they
    count `9! step! / (step + 9)!` after `step` updates, until the decay is reached.

    Args:
        average: Tree of arrays.
        fresh: Tree like it, after the update.
        decay: The largest, in [0, 1).
        step: `[]` int, updates made before this one. It is stored in the state, so that a resumed run continues alike.

    Returns:
        Tree like `average`.
    """
    weight = jnp.maximum(1 - decay, 9 / (10 + step))  # one minus the decay
    return jax.tree.map(lambda old, new: old + weight.astype(old.dtype) * (new - old), average, fresh)
