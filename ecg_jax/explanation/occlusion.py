"""Occlusion (Zeiler and Fergus 2014, ECCV) of whole waves and leads.

The value of a part is the drop of the logit when it alone is removed, so that parts that say the same have no value.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from ecg_jax.explanation import removal
from ecg_jax.explanation.attribution import Apply


@functools.partial(jax.jit, static_argnames=("apply", "players"))
def occlude(
    apply: Apply, variables: Any, signal: jax.Array, output: int, segments: jax.Array, players: str = "parts"
) -> jax.Array:
    """Drops of a logit.

    Args:
        apply: See `attribution`.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit.
        segments: `[B, T]` int8, see `segments.label_samples`.
        players: What is removed, one of `removal.PLAYERS`.

    Returns:
        `[B, P]` float32: positive where the logit is lower without the player.

    Raises:
        InputError: on other players.
    """
    count = removal.count_players(players, signal.shape[2])
    present = jnp.concatenate([jnp.ones((1, count), bool), ~jnp.eye(count, dtype=bool)])

    def explain(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        here, labels = pair
        scores = removal.score(apply, variables, here, output, labels, players, present)
        return scores[0] - scores[1:]

    return jax.lax.map(explain, (jnp.float32(signal), segments))
