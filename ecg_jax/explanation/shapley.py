"""Shapley values (Shapley 1953): what a part of an ECG adds to the logit, averaged over all orders of adding parts.

Exact over all coalitions where there are few players; otherwise the mean over random orders (Strumbelj and Kononenko
2014, Knowl Inf Syst 41:647), each taken forward and backward (antithetic), with its standard error.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from ecg_jax.errors import InputError
from ecg_jax.explanation import removal
from ecg_jax.explanation.logits import Apply

MOST_EXACT = 12  # players: 4096 coalitions


class Estimate(NamedTuple):
    """Of the values of players."""

    value: np.ndarray  # `[B, P]` in units of the logit; they add up to its drop when all players are removed
    error: np.ndarray  # `[B, P]`, the standard error
    pairs: int  # of orders that were drawn

    @property
    def half_width(self) -> np.ndarray:
        """Of the 95 % interval by Student's distribution, `[B, P]`."""
        return np.asarray(scipy.stats.t.ppf(0.975, self.pairs - 1) * self.error)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Its lower and upper end, `[B, P]`."""
        return self.value - self.half_width, self.value + self.half_width


def compute_exact(
    apply: Apply, variables: Any, signal: np.ndarray, output: int, segments: np.ndarray, players: str
) -> np.ndarray:
    """Exact values `[B, P]`; for the arguments see `occlusion.occlude`.

    Raises:
        InputError: on other players, or more than `MOST_EXACT`.
    """
    count = removal.count_players(players, signal.shape[2])
    if count > MOST_EXACT:
        raise InputError(f"exact Shapley values of {count} players need {2**count} evaluations; see shapley.sample")
    scores = removal.compute_logits(apply, variables, signal, output, segments, players, list_coalitions(count))
    return scores @ weigh_coalitions(count).T


def list_coalitions(count: int) -> np.ndarray:
    """All of them, `[2 ** count, count]` bool: number n has the players of its binary digits, the lowest first."""
    return (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(bool)


def weigh_coalitions(count: int) -> np.ndarray:
    """`[count, 2 ** count]`, of which the scores of `list_coalitions` make Shapley values."""
    present = list_coalitions(count)
    size = present.sum(axis=1)
    weight = np.array([1 / (count * math.comb(count - 1, others)) for others in range(count)])
    return np.where(present.T, weight[np.maximum(size - 1, 0)], -weight[np.minimum(size, count - 1)])


def sample(
    apply: Apply,
    variables: Any,
    signal: np.ndarray,
    output: int,
    segments: np.ndarray,
    players: str = "parts",
    *,
    pairs: int,
    seed: int = 0,
) -> Estimate:
    """Estimates values; for other arguments and errors see `occlusion.occlude`.

    `seed` draws the orders, the same for all signals: `pairs` of them, at least 2, and the reverse of each, which
    together cost `2 * P - 2` evaluations.
    """
    if pairs < 2:
        raise InputError(f"pairs is {pairs}; an interval needs at least 2")
    ranks = draw_orders(np.random.default_rng(seed), removal.count_players(players, signal.shape[2]), pairs)
    scores = removal.compute_logits(apply, variables, signal, output, segments, players, list_steps(ranks))
    return Estimate(*estimate(scores, ranks), pairs)


def draw_orders(rng: np.random.Generator, count: int, pairs: int) -> np.ndarray:
    """The place of each player in random orders, and then in their reverses: `[2 * pairs, count]` int."""
    ranks = rng.permuted(np.tile(np.arange(count), (pairs, 1)), axis=1)
    return np.concatenate([ranks, count - 1 - ranks])


def list_steps(ranks: np.ndarray) -> np.ndarray:
    """Coalitions `[N, P]` bool that orders `[orders, P]` pass through: none, all, then those between of each order."""
    count = ranks.shape[1]
    between = ranks[:, None] < np.arange(1, count)[:, None]
    return np.concatenate([np.zeros((1, count), bool), np.ones((1, count), bool), between.reshape(-1, count)])


def estimate(scores: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and their standard errors, `[B, P]` both, of scores `[B, N]` of `list_steps`."""
    (orders, count), batch = ranks.shape, len(scores)
    none, every = (np.broadcast_to(scores[:, i, None, None], (batch, orders, 1)) for i in range(2))
    path = np.concatenate([none, scores[:, 2:].reshape(batch, orders, count - 1), every], axis=2)
    added = np.take_along_axis(np.diff(path), ranks[None], axis=2)
    paired = added.reshape(batch, 2, -1, count).mean(axis=1)
    return paired.mean(axis=1), paired.std(axis=1, ddof=1) / math.sqrt(orders / 2)
