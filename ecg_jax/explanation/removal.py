"""ECGs without some of their parts: what occlusion and Shapley values ask a network about.

Players are what can be removed: `parts` (a segment of all beats in one lead; L x 3 of them, by lead), `segments` (one
of all beats in all leads; 3) and `leads` (L). In place of a segment lies the straight line between its first and its
last sample, in place of a lead zeros.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.explanation import logits
from ecg_jax.explanation.segments import SEGMENTS


def draw_lines(signal: jax.Array, segments: jax.Array) -> jax.Array:
    """A signal `[T, L]`, each run of equal segments `[T]` replaced by the line from its first to its last sample."""
    time = jnp.arange(len(segments))
    changes = segments[1:] != segments[:-1]
    first = jax.lax.cummax(jnp.where(jnp.append(True, changes), time, 0))
    last = jax.lax.cummin(jnp.where(jnp.append(changes, True), time, len(time)), reverse=True)
    share = ((time - first) / jnp.maximum(last - first, 1))[:, None]
    return (1 - share) * signal[first] + share * signal[last]


def _keep_parts(ecg: tuple[jax.Array, jax.Array], present: jax.Array) -> jax.Array:
    """Of a signal `[T, L]` and its segments `[T]` the parts that are present in each of `[N, L * 3]`: `[N, T, L]`."""
    signal, segments = ecg
    kept = present.reshape(len(present), -1, len(SEGMENTS))
    kept = jnp.pad(kept, ((0, 0), (0, 0), (1, 0)), constant_values=True)  # elsewhere nothing is removed
    return jnp.where(kept[..., segments].swapaxes(1, 2), signal, draw_lines(signal, segments))


def _keep_segments(ecg: tuple[jax.Array, jax.Array], present: jax.Array) -> jax.Array:
    return _keep_parts(ecg, jnp.tile(present, (1, ecg[0].shape[1])))


def _keep_leads(ecg: tuple[jax.Array, jax.Array], present: jax.Array) -> jax.Array:
    return jnp.where(present[:, None], ecg[0], 0)


PLAYERS = {"parts": _keep_parts, "segments": _keep_segments, "leads": _keep_leads}


def count_players(players: str, leads: int) -> int:
    """How many there are; `InputError` on other ones than `PLAYERS`."""
    if players not in PLAYERS:
        raise InputError(f"players is {players!r}; known: {', '.join(PLAYERS)}")
    return {"parts": leads * len(SEGMENTS), "segments": len(SEGMENTS), "leads": leads}[players]


def compute_logits(
    apply: logits.Apply,
    variables: Any,
    signal: np.ndarray,
    output: int,
    segments: np.ndarray,
    players: str,
    present: logits.Rows,
) -> np.ndarray:
    """The logit `[B, N]` of each signal `[B, T, L]` with the players that are present in each of `[N, P]` bool."""
    create = PLAYERS[players]
    ecgs = zip(np.asarray(signal, np.float32), segments, strict=True)
    return np.stack([logits.compute(apply, variables, output, create, ecg, present) for ecg in ecgs])


def spread(values: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Values of `parts` `[B, L * 3]`, each evenly over its samples by segments `[B, T]`: `[B, T, L]` float32."""
    parts = values.reshape(len(values), -1, len(SEGMENTS))
    is_in = (segments[..., None] == np.arange(1, 1 + len(SEGMENTS))).astype(np.float32)  # [B, T, 3]
    each = parts / np.maximum(is_in.sum(axis=1), 1)[:, None]  # [B, L, 3]
    return (is_in @ each.swapaxes(1, 2)).astype(np.float32)
