"""Where the waves of a beat without noise begin and end in each lead.

A wave is seen for as long as it is further from the baseline than a threshold: a fraction of its height in this lead
and some microvolts, which noise and the width of a line on paper hide. So a small wave is shorter than a large one of
the same duration, as in cardiologists' marks. A lead in which a wave is nearly flat takes its boundaries from the
others.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation import leads
from ecg_jax.simulation.rhythm import NEVER
from ecg_jax.simulation.vectorcardiogram import Beat, Bells, ring, see

WAVES = ("P", "QRS", "T")
_STEP = 0.0025  # seconds
# Seconds from the reference of a template (see `vectorcardiogram`) within which a wave lies.
_SPANS = {"P": (-0.06, 0.24), "QRS": (-0.06, 0.30), "T": (-0.40, 0.36)}
_OTHERS = 0.15  # share of the other leads' root mean square in a lead's height
_GAP = 0.02  # seconds
UNSEEN = {"P": 0.025, "T": 0.05}  # mV: readers differ on whether they see a wave that is smaller in all leads
_MOST = 0.5  # a threshold's largest part of the height


class Edges(NamedTuple):
    """Of one wave, in seconds from its reference, per lead; the last axis is that of `recording.LEADS`."""

    onset: jax.Array  # `[..., 12]`
    offset: jax.Array  # `[..., 12]`
    height: jax.Array  # `[12]` mV, furthest from the baseline


class Track(NamedTuple):
    """All waves of one kind in a recording; times in seconds from its first valid sample, `NEVER` for absent waves."""

    onset: jax.Array  # `[44, thresholds, 12]`
    offset: jax.Array  # `[44, thresholds, 12]`
    is_seen: jax.Array  # `[44]` bool, False for a P wave within a QRS complex
    is_unknown: jax.Array  # `[44]` bool, where readers would differ on whether there is one, or where it ends
    is_ectopic: jax.Array  # `[44]` bool, begun aside of the conduction system; of a P wave, aside of the sinus node
    is_paced: jax.Array  # `[44]` bool


def find_edges(
    bells: Bells, wave: str, places: jax.Array, limbs: jax.Array, hangs: jax.Array, thresholds: np.ndarray
) -> Edges:
    """Finds where one wave of `WAVES` begins and ends.

    Args:
        bells: Of the wave; of T the first two, its body and its foot.
        wave: Its name.
        places: Of the chest electrodes; see `leads.draw_places`.
        limbs: Leads I and II as vectors.
        hangs: Where the electrodes are, `[9, 9]`; see `leads.draw_swap`.
        thresholds: `[N, 2]`, each a fraction of the height, and millivolts.

    Returns:
        Onsets and offsets `[N, 12]`.
    """
    first, last = _SPANS[wave]
    time = jnp.asarray(np.arange(first, last, _STEP), jnp.float32)
    seen = jnp.abs(ring(bells, time) @ see(bells, places, limbs) @ hangs.T @ jnp.asarray(leads.TO_TWELVE))
    height = jnp.max(seen, axis=0)
    shape = jnp.sqrt(seen**2 + _OTHERS**2 * jnp.mean(seen**2, axis=1, keepdims=True))
    top = jnp.max(shape, axis=0)
    limit = jnp.minimum(thresholds[:, :1] * top + thresholds[:, 1:], _MOST * top)  # [N, 12]
    above = shape[None] > limit[:, None]  # [N, T, 12]

    def cross(flags: jax.Array, heights: jax.Array) -> jax.Array:
        """Samples, with a fraction, before the first that is above."""
        at = jnp.maximum(jnp.argmax(flags, axis=1), 1)  # [N, 12]
        column = jnp.arange(heights.shape[1])[None]
        low, high = heights[at - 1, column], heights[at, column]
        return at - jnp.clip((high - limit) / jnp.maximum(high - low, 1e-9), 0.0, 1.0)

    onset = time[0] + _STEP * cross(above, shape)
    offset = time[-1] - _STEP * cross(above[:, ::-1], shape[::-1])
    return Edges(onset, offset, height)


def take(bells: Bells, count: int) -> Bells:
    """The first bells."""
    return Bells(*(part[:count] for part in bells))


def find_all_edges(
    beat: Beat, places: jax.Array, limbs: jax.Array, hangs: jax.Array, thresholds: dict[str, np.ndarray]
) -> dict[str, tuple[Edges, Edges]]:
    """Edges by wave: of usual beats, and of those that begin elsewhere; from P's and QRS's onset, from T's top."""
    pairs = {
        "P": (beat.p, beat.p_premature),
        "QRS": (beat.qrs, beat.qrs_ectopic),
        "T": (take(beat.t, 2), take(beat.t_ectopic, 2)),
    }
    return {
        wave: (
            find_edges(pair[0], wave, places, limbs, hangs, thresholds[wave]),
            find_edges(pair[1], wave, places, limbs, hangs, thresholds[wave]),
        )
        for wave, pair in pairs.items()
    }


def lay_out(
    edges: dict[str, tuple[Edges, Edges]],
    references: dict[str, jax.Array],
    others: dict[str, jax.Array],
    is_paced: jax.Array,
) -> dict[str, Track]:
    """Lays waves out in time.

    Args:
        edges: See `find_all_edges`.
        references: `[beats]` seconds, of each wave.
        others: `[beats]` bool, which are not usual.
        is_paced: `[beats]` bool, of QRS and T.
    """
    onsets, offsets, sizes = {}, {}, {}
    for wave in WAVES:
        usual, other = edges[wave]
        is_other = others[wave][:, None, None]
        onsets[wave] = references[wave][:, None, None] + jnp.where(is_other, other.onset, usual.onset)
        offsets[wave] = references[wave][:, None, None] + jnp.where(is_other, other.offset, usual.offset)
        sizes[wave] = jnp.where(others[wave], jnp.max(other.height), jnp.max(usual.height))
    starts, ends = jnp.min(onsets["QRS"], axis=(1, 2)), jnp.max(offsets["QRS"], axis=(1, 2))
    onsets["T"] = jnp.maximum(onsets["T"], offsets["QRS"])
    t_ends = jnp.median(offsets["T"], axis=(1, 2))
    following = jnp.concatenate([starts[1:], jnp.full(1, NEVER)])
    late_t = t_ends > following - _GAP

    first, last = jnp.median(onsets["P"], axis=(1, 2)), jnp.median(offsets["P"], axis=(1, 2))
    middle = (first + last) / 2
    is_hidden = jnp.any((middle[:, None] > starts - _GAP) & (middle[:, None] < ends), axis=1)
    is_cut = jnp.any((last[:, None] > starts + _GAP) & (first[:, None] < ends - _GAP), axis=1)
    in_t = jnp.any((middle[:, None] > ends) & (middle[:, None] < t_ends - _GAP), axis=1)
    next_start = jnp.min(jnp.where(starts > middle[:, None], starts, NEVER), axis=1)
    offsets["P"] = jnp.minimum(offsets["P"], jnp.maximum(next_start, first)[:, None, None])
    no = jnp.zeros_like(is_hidden)
    return {
        "P": Track(
            onsets["P"],
            offsets["P"],
            ~is_hidden,
            ~is_hidden & (is_cut | in_t) | (sizes["P"] < UNSEEN["P"]),
            others["P"],
            no,
        ),
        "QRS": Track(onsets["QRS"], offsets["QRS"], ~no, no, others["QRS"], is_paced),
        "T": Track(onsets["T"], offsets["T"], ~no, late_t | (sizes["T"] < UNSEEN["T"]), others["T"], is_paced),
    }
