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

Apply = Callable[[Any, jax.Array], jax.Array]
Create = Callable[[Any, jax.Array], jax.Array]
Rows = np.ndarray | jax.Array
_CHUNK = 8  # variants at once


def compute(apply: Apply, variables: Any, output: int, create: Create, known: Any, rows: Rows) -> jax.Array:
    """The logit number `output` of each variant: `[N]` float32."""
    parts = [_compute(apply, create, variables, output, known, part) for part, _ in _split(rows)]
    return jnp.concatenate(parts)[: len(rows)]


def average_gradient(apply: Apply, variables: Any, output: int, create: Create, known: Any, rows: Rows) -> jax.Array:
    """The logit's gradient with respect to the signal, averaged over variants: `[T, L]` float32."""
    total = sum(_differentiate(apply, create, variables, output, known, *part) for part in _split(rows))
    return jnp.asarray(total) / len(rows)


def _split(rows: Rows) -> list[tuple[Rows, np.ndarray]]:
    """Chunks of one size, and which of their rows count: the last is filled up with copies of its last row."""
    size = min(len(rows), _CHUNK)
    number = np.arange(-(-len(rows) // size) * size).reshape(-1, size)
    return [(rows[np.minimum(each, len(rows) - 1)], each < len(rows)) for each in number]


def _select(apply: Apply, variables: Any, output: int, signals: jax.Array) -> jax.Array:
    return jnp.take(apply(variables, signals), output, axis=1)


@functools.partial(jax.jit, static_argnames=("apply", "create"))
def _compute(apply: Apply, create: Create, variables: Any, output: int, known: Any, rows: jax.Array) -> jax.Array:
    return _select(apply, variables, output, create(known, rows))


@functools.partial(jax.jit, static_argnames=("apply", "create"))
def _differentiate(
    apply: Apply, create: Create, variables: Any, output: int, known: Any, rows: jax.Array, counts: jax.Array
) -> jax.Array:
    def total(signals: jax.Array) -> jax.Array:
        return jnp.where(counts, _select(apply, variables, output, signals), 0).sum()

    return jax.grad(total)(create(known, rows)).sum(axis=0)
