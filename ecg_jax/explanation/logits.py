"""A network's logit, and its gradient, of many variants of one ECG, some at a time, which bounds memory.

`apply(variables, signal [B, T, L]) -> logits [B, labels]` must treat examples independently, as networks do outside
training; `network.apply` of any `models.Network` is one. `create(known, rows [n, ...]) -> signals [n, T, L]` makes the
variants. Each pair of both is compiled once per shape; labels share that.

The loop over chunks is Python's: convolutions within a compiled loop take 20 times as long on CPUs (jax 0.10).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Apply = Callable[..., Any]  # `(variables, signal)`, see above
Create = Callable[[Any, jax.Array], jax.Array]
Rows = np.ndarray | jax.Array
_CHUNK = 8  # variants at once


def compute(apply: Apply, variables: Any, output: int, create: Create, known: Any, rows: Rows) -> jax.Array:
    """The logit number `output` of each variant: `[N]` float32."""
    parts = [_compute(apply, create, variables, output, known, rows[chunk]) for chunk, _ in _split(len(rows))]
    return jnp.concatenate(parts)[: len(rows)]


def sum_gradients(
    apply: Apply, variables: Any, output: int, create: Create, known: Any, rows: Rows, weights: np.ndarray
) -> jax.Array:
    """The logit's gradients with respect to the variants, times their weights `[N]` float32, summed: `[T, L]`."""
    parts = [
        _differentiate(apply, create, variables, output, known, rows[chunk], weights[chunk] * counts)
        for chunk, counts in _split(len(rows))
    ]
    return jnp.sum(jnp.stack(parts), axis=0)


def _split(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows of each chunk, all of one size, and which of them count: the last is filled up with copies of its last."""
    size = min(count, _CHUNK)
    number = np.arange(-(-count // size) * size).reshape(-1, size)
    return [(np.minimum(each, count - 1), each < count) for each in number]


@functools.partial(jax.jit, static_argnames=("apply", "create"))
def _compute(apply: Apply, create: Create, variables: Any, output: int, known: Any, rows: jax.Array) -> jax.Array:
    return jnp.take(apply(variables, create(known, rows)), output, axis=1)


@functools.partial(jax.jit, static_argnames=("apply", "create"))
def _differentiate(
    apply: Apply, create: Create, variables: Any, output: int, known: Any, rows: jax.Array, weights: jax.Array
) -> jax.Array:
    def total(signals: jax.Array) -> jax.Array:
        return weights @ jnp.take(apply(variables, signals), output, axis=1)

    return jax.grad(total)(create(known, rows)).sum(axis=0)
