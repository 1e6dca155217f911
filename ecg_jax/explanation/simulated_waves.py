"""Simulated ECGs with the waves of each lead, as a delineator's network learns them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.recording import LEADS, LIMB_LEADS
from ecg_jax.simulation import DOWER
from ecg_jax.simulation.boundaries import WAVES, Track
from ecg_jax.simulation.patients import Population
from ecg_jax.simulation.simulator import simulate, trace_waves

KINDS = ("ectopic", "paced")  # of a QRS complex
_LATE_T = 0.3  # share of recordings
_DIPOLE_LEADS = np.array(
    [np.array(LIMB_LEADS[lead]) @ [DOWER["I"], DOWER["II"]] if lead in LIMB_LEADS else DOWER[lead] for lead in LEADS]
).T.astype(np.float32)  # [3, 12]
_AROUND = 0.06  # seconds around an unknown wave that are unknown


class Example(NamedTuple):
    """What a network learns from one recording."""

    signal: jax.Array  # `[12, T]` mV
    recorded: jax.Array  # `[12, T]` bool
    inside: jax.Array  # `[12, T, 3, thresholds]`, the share of each sample that is within a wave, by `WAVES`
    known: jax.Array  # `[T, 3]` bool, by `WAVES`
    kinds: jax.Array  # `[T, 2]` float32, `KINDS` of the complex
    is_complex: jax.Array  # `[T]` bool, where `kinds` apply


def draw_example(
    key: jax.Array,
    population: Population,
    thresholds: dict[str, np.ndarray],
    *,
    samples: int,
    sampling_rate: float,
    durations: tuple[float, ...],
) -> Example:
    """Draws a recording; for thresholds see `boundaries.find_edges`, the same number for each wave."""
    drawn = simulate(key, population, samples=samples, sampling_rate=sampling_rate, durations=durations)
    traced = trace_waves(key, population, thresholds)
    start = jnp.argmax(drawn.valid) / sampling_rate
    time = jnp.arange(samples) / sampling_rate - start
    signal, traced["T"] = _add_late_t(
        jax.random.fold_in(key, 1), drawn.signal, time, traced["T"], jnp.asarray(thresholds["T"])
    )
    inside = {}
    at = {}
    for wave in WAVES:
        track = traced[wave]
        first = jnp.min(track.onset, axis=(1, 2))  # seconds, of each wave in all leads
        now = jnp.maximum(jnp.sum(first <= time[:, None], axis=1) - 1, 0)  # the wave that began last
        at[wave] = now
        onset, offset = track.onset[now], track.offset[now]  # [T, N, 12]
        after = jnp.clip((time[:, None, None] - onset) * sampling_rate + 0.5, 0.0, 1.0)
        before = jnp.clip((offset - time[:, None, None]) * sampling_rate + 0.5, 0.0, 1.0)
        inside[wave] = jnp.minimum(after, before) * track.is_seen[now][:, None, None]
    known = {"QRS": jnp.ones(samples, bool)}
    for wave in ("P", "T"):
        track = traced[wave]
        first, last = jnp.min(track.onset, axis=(1, 2)) - _AROUND, jnp.max(track.offset, axis=(1, 2)) + _AROUND
        is_in = (time[:, None] > first) & (time[:, None] < last) & track.is_unknown
        known[wave] = ~jnp.any(is_in, axis=1)
    recorded = drawn.valid[:, None] & jnp.any(drawn.signal != 0, axis=0)
    complexes = traced["QRS"]
    is_complex = jnp.any(inside["QRS"][:, 0] > 0, axis=1)
    kinds = jnp.stack([complexes.is_ectopic[at["QRS"]], complexes.is_paced[at["QRS"]]], axis=-1)
    return Example(
        signal=(signal * recorded).T,
        recorded=recorded.T,
        inside=jnp.stack([inside[wave] for wave in WAVES], axis=-1).transpose(2, 0, 3, 1),
        known=jnp.stack([known[wave] for wave in WAVES], axis=-1),
        kinds=kinds.astype(jnp.float32),
        is_complex=is_complex,
    )


def _add_late_t(
    key: jax.Array, signal: jax.Array, time: jax.Array, track: Track, thresholds: jax.Array
) -> tuple[jax.Array, Track]:
    """Adds a last part of T in a direction of its own to some recordings, as T of patients has.

    In the simulator T has one main bell, so that it ends in all leads at once, and its end is never biphasic.
    """
    keys = jax.random.split(key, 4)
    size = 0.09 * jax.random.bernoulli(keys[0], _LATE_T) * jax.random.normal(keys[1], (3,))
    height = size @ jnp.asarray(_DIPOLE_LEADS)  # [12] mV
    width = jax.random.uniform(keys[2], minval=0.016, maxval=0.034)
    top = jnp.median(track.offset, axis=(1, 2)) + width * jax.random.uniform(keys[3], minval=-1.2, maxval=0.8)
    shape = jnp.sum(jnp.exp(-0.5 * ((time[:, None] - top) / width) ** 2), axis=1)
    limit = thresholds[:, :1] * jnp.abs(height) + thresholds[:, 1:]  # [N, 12]
    reach = width * jnp.sqrt(2 * jnp.log(jnp.maximum(jnp.abs(height) / limit, 1.0)))
    later = jnp.maximum(track.offset, top[:, None, None] + reach)
    offset = jnp.where(jnp.abs(height) > limit, later, track.offset)
    return signal + shape[:, None] * height, track._replace(offset=offset)
