"""Shapley values (Shapley 1953): what a part of an ECG adds to the logit, averaged over all orders of adding parts.

Exact over all coalitions where there are few players; otherwise the mean over random orders (Strumbelj and Kononenko
2014, Knowl Inf Syst 41:647), each taken forward and backward (antithetic), with its standard error.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from ecg_jax.errors import InputError
from ecg_jax.explanation import removal
from ecg_jax.explanation.attribution import Apply

MOST_EXACT = 12  # players: 4096 coalitions


class Values(NamedTuple):
    """Of players."""

    value: jax.Array  # `[B, P]` in units of the logit; they add up to its drop when all players are removed
    error: jax.Array  # `[B, P]`, the standard error
    pairs: int  # of orders that were drawn

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """The 95 % interval by Student's distribution: lower and upper end, `[B, P]`."""
        width = scipy.stats.t.ppf(0.975, self.pairs - 1) * np.asarray(self.error)
        return np.asarray(self.value) - width, np.asarray(self.value) + width


def list_coalitions(count: int) -> np.ndarray:
    """All of them, `[2 ** count, count]` bool: number n has the players of its binary digits, the lowest first."""
    return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)


def weigh_coalitions(count: int) -> np.ndarray:
    """`[count, 2 ** count]` float32: times all coalitions' scores, these are Shapley values."""
    present = list_coalitions(count)
    size = present.sum(axis=1)
    share = np.array([1 / (count * math.comb(count - 1, k)) for k in range(count)])
    # With the player, by how many others are there; without it likewise.
    with_player, without = share[np.maximum(size - 1, 0)], share[np.minimum(size, count - 1)]
    return np.where(present.T, with_player, -without).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("apply", "players"))
def compute_exact(
    apply: Apply, variables: Any, signal: jax.Array, output: int, segments: jax.Array, players: str
) -> jax.Array:
    """Exact values `[B, P]` float32; for the arguments see `occlusion.occlude`.

    Raises:
        InputError: on more than `MOST_EXACT` players.
    """
    count = removal.count_players(players, signal.shape[2])
    if count > MOST_EXACT:
        raise InputError(f"exact Shapley values of {count} players need {2**count} coalitions; sample them instead")
    present, weights = jnp.asarray(list_coalitions(count)), jnp.asarray(weigh_coalitions(count))

    def explain(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        here, labels = pair
        return weights @ removal.score(apply, variables, here, output, labels, players, present)

    return jax.lax.map(explain, (jnp.float32(signal), segments))


def sample(
    apply: Apply,
    variables: Any,
    signal: jax.Array,
    output: int,
    segments: jax.Array,
    rng: jax.Array,
    players: str = "parts",
    *,
    pairs: int,
) -> Values:
    """Estimates values; for other arguments and errors see `occlusion.occlude`.

    `rng` draws the orders, the same for all signals: `pairs` of them, at least 2, each of which costs `2 * P - 2`
    evaluations.
    """
    if pairs < 2:
        raise InputError(f"pairs is {pairs}; an interval needs at least 2")
    return Values(*_sample(apply, variables, signal, output, segments, rng, players, pairs), pairs)


@functools.partial(jax.jit, static_argnames=("apply", "players", "pairs"))
def _sample(
    apply: Apply,
    variables: Any,
    signal: jax.Array,
    output: int,
    segments: jax.Array,
    rng: jax.Array,
    players: str,
    pairs: int,
) -> tuple[jax.Array, jax.Array]:
    ranks = draw_orders(rng, removal.count_players(players, signal.shape[2]), pairs)
    present = list_steps(ranks)

    def explain(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        here, labels = pair
        return estimate(removal.score(apply, variables, here, output, labels, players, present), ranks)

    return jax.lax.map(explain, (jnp.float32(signal), segments))


def draw_orders(rng: jax.Array, count: int, pairs: int) -> jax.Array:
    """The place of each player in random orders, and then in their reverses: `[2 * pairs, count]` int."""
    ranks = jax.vmap(lambda key: jax.random.permutation(key, count))(jax.random.split(rng, pairs))
    return jnp.concatenate([ranks, count - 1 - ranks])


def list_steps(ranks: jax.Array) -> jax.Array:
    """Coalitions `[N, P]` bool that orders `[orders, P]` pass through: none, all, then those between of each order."""
    count = ranks.shape[1]
    between = ranks[:, None] < jnp.arange(1, count)[:, None]
    ends = jnp.stack([jnp.zeros(count, bool), jnp.ones(count, bool)])
    return jnp.concatenate([ends, between.reshape(-1, count)])


def estimate(scores: jax.Array, ranks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Values and their standard errors, `[P]` both, from scores `[N]` of `list_steps`."""
    orders, count = ranks.shape
    none, every = (jnp.full((orders, 1), scores[i]) for i in range(2))
    steps = jnp.diff(jnp.concatenate([none, scores[2:].reshape(orders, count - 1), every], axis=1))
    added = jnp.take_along_axis(steps, ranks, axis=1).reshape(2, -1, count).mean(axis=0)
    return added.mean(axis=0), added.std(axis=0, ddof=1) / math.sqrt(len(added))
