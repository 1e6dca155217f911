"""Attribution by gradients: integrated gradients and SmoothGrad.

Integrated gradients (Sundararajan, Taly and Yan 2017, ICML, "Axiomatic Attribution for Deep Networks"): the gradient of
the logit, averaged on the straight line from a baseline to the signal, times their difference. All values together are
the difference of the two logits.

SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825): the gradient, averaged over noisy copies of the signal; here times
the signal, so that it is in units of the logit.

`apply(variables, signal [B, T, L]) -> logits [B, labels]` must treat examples independently, as a network does outside
training; `network.apply` of any `models.Network` is one. Functions are compiled once per `apply` and shape.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.contract import Filter
from ecg_jax.data.filters import apply_filter

Apply = Callable[[Any, jax.Array], jax.Array]
CHUNK = 8  # signals that a network sees at once, which bounds memory
_LOWPASS = 0.5  # Hz, below any heart rate


def create_zero_baseline(signal: np.ndarray) -> np.ndarray:
    """No signal, `[B, T, L]` float32."""
    return np.zeros_like(signal, np.float32)


def create_lowpass_baseline(signal: np.ndarray, sampling_rate: float) -> np.ndarray:
    """What remains below the beats, `[B, T, L]` float32: each lead below 0.5 Hz (`data.filters`)."""
    step = Filter(sampling_rate, highpass=0, lowpass=_LOWPASS, notch=0)
    return np.stack([apply_filter(step, each, np.ones(each.shape, bool)) for each in np.asarray(signal, np.float32)])


@functools.partial(jax.jit, static_argnames=("apply", "steps"))
def integrated_gradients(
    apply: Apply, variables: Any, signal: jax.Array, output: int, baseline: jax.Array, *, steps: int
) -> jax.Array:
    """Attributes the difference of a logit between a signal and a baseline.

    Args:
        apply: See the module's docstring.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit; labels share a compilation.
        baseline: `[B, T, L]`.
        steps: Points of the line, of equal distance, in the middle of as many parts.

    Returns:
        `[B, T, L]` float32 in units of the logit; positive where the signal raises it.
    """
    place = (np.arange(steps, dtype=np.float32) + 0.5) / steps

    def explain(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        here, there = pair

        def create(places: jax.Array) -> jax.Array:
            return there + places[:, None, None] * (here - there)

        return (here - there) * _average_gradient(apply, variables, output, create, jnp.asarray(place))

    return jax.lax.map(explain, (jnp.float32(signal), jnp.float32(baseline)))


@functools.partial(jax.jit, static_argnames=("apply", "samples"))
def smooth_gradient(
    apply: Apply, variables: Any, signal: jax.Array, output: int, rng: jax.Array, *, noise: float, samples: int
) -> jax.Array:
    """Attributes a logit by its average gradient around a signal, times the signal.

    Args:
        apply: See the module's docstring.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit.
        rng: Of the noise, the same for all signals.
        noise: Its standard deviation, as a share of each signal's largest value less its smallest.
        samples: Noisy copies.

    Returns:
        `[B, T, L]` float32 in units of the logit; positive where the signal raises it, to first order.
    """
    keys = jax.random.split(rng, samples)

    def explain(here: jax.Array) -> jax.Array:
        deviation = noise * (here.max() - here.min())

        def create(keys: jax.Array) -> jax.Array:
            return here + deviation * jax.vmap(lambda key: jax.random.normal(key, here.shape))(keys)

        return here * _average_gradient(apply, variables, output, create, keys)

    return jax.lax.map(explain, jnp.float32(signal))


def _average_gradient(
    apply: Apply, variables: Any, output: int, create: Callable[[jax.Array], jax.Array], given: jax.Array
) -> jax.Array:
    """The logit's gradient `[T, L]`, averaged over the signals that `create` makes of `given` `[N, ...]`, in chunks."""

    def differentiate(signals: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.take(apply(variables, x), output, axis=1).sum())(signals).sum(axis=0)

    count = len(given)
    size = min(count, CHUNK)
    whole = given[: count // size * size].reshape(-1, size, *given.shape[1:])
    total = jax.lax.map(lambda part: differentiate(create(part)), whole).sum(axis=0)
    if rest := count % size:
        total += differentiate(create(given[-rest:]))
    return total / count
