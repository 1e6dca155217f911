"""ECGs without some of their parts: what occlusion and Shapley values ask a network about.

Players are what can be removed: `parts` (a segment of all beats in one lead; L x 3 of them, by lead), `segments` (one
of all beats in all leads; 3) and `leads` (L). In place of a segment lies the straight line between its first and its
last sample, in place of a lead zeros.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ecg_jax.errors import InputError
from ecg_jax.explanation.attribution import CHUNK, Apply
from ecg_jax.explanation.segments import SEGMENTS

PLAYERS = ("parts", "segments", "leads")


def count_players(players: str, leads: int) -> int:
    """How many there are; `InputError` on other ones than `PLAYERS`."""
    if players not in PLAYERS:
        raise InputError(f"players is {players!r}; known: {', '.join(PLAYERS)}")
    return {"parts": leads * len(SEGMENTS), "segments": len(SEGMENTS), "leads": leads}[players]


def draw_lines(signal: jax.Array, segments: jax.Array) -> jax.Array:
    """A signal `[T, L]`, each run of equal segments `[T]` replaced by the line from its first to its last sample."""
    time = jnp.arange(len(segments))
    changes = segments[1:] != segments[:-1]
    first = jax.lax.cummax(jnp.where(jnp.append(True, changes), time, 0))
    last = jax.lax.cummin(jnp.where(jnp.append(changes, True), time, len(time)), reverse=True)
    share = ((time - first) / jnp.maximum(last - first, 1))[:, None]
    return (1 - share) * signal[first] + share * signal[last]


def remove(players: str, signal: jax.Array, segments: jax.Array, present: jax.Array) -> jax.Array:
    """The signal `[T, L]`, with segments `[T]`, with the players that are present in each of `[N, P]`: `[N, T, L]`."""
    leads = signal.shape[1]
    if players == "leads":
        return jnp.where(present[:, None], signal, 0)
    parts = present.reshape(len(present), -1, len(SEGMENTS))  # of one lead, or of each
    parts = jnp.broadcast_to(parts, (len(present), leads, len(SEGMENTS)))
    kept = jnp.concatenate([jnp.ones_like(parts[..., :1]), parts], axis=2)  # elsewhere nothing is removed
    return jnp.where(kept[:, :, segments].swapaxes(1, 2), signal, draw_lines(signal, segments))


def score(
    apply: Apply,
    variables: Any,
    signal: jax.Array,
    output: int,
    segments: jax.Array,
    players: str,
    present: jax.Array,
) -> jax.Array:
    """The logit `[N]` of a signal `[T, L]` with the players that are present in each of `[N, P]`, in chunks."""

    def infer(present: jax.Array) -> jax.Array:
        return jnp.take(apply(variables, remove(players, signal, segments, present)), output, axis=1)

    count = len(present)
    padded = jnp.concatenate([present, jnp.ones((-count % CHUNK, present.shape[1]), bool)])
    return jax.lax.map(infer, padded.reshape(-1, CHUNK, present.shape[1])).reshape(-1)[:count]


def spread(values: jax.Array, segments: jax.Array) -> jax.Array:
    """Values of `parts` `[B, L * 3]`, each evenly over its samples by segments `[B, T]`: `[B, T, L]`."""

    def place(values: jax.Array, segments: jax.Array) -> jax.Array:
        counts = jnp.bincount(segments, length=1 + len(SEGMENTS))[1:]
        each = values.reshape(-1, len(SEGMENTS)) / jnp.maximum(counts, 1)
        return jnp.pad(each, ((0, 0), (1, 0)))[:, segments].T

    return jax.vmap(place)(values, segments)
