"""Attribution by gradients: integrated gradients and SmoothGrad.

Integrated gradients (Sundararajan, Taly and Yan 2017, ICML, "Axiomatic Attribution for Deep Networks"): the gradient of
the logit, averaged on the straight line from a baseline to the signal, times their difference. All values together are
the difference of the two logits.

SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825): the gradient, averaged over noisy copies of the signal; here times
the signal, so that it is in units of the logit.

For `apply` see `logits`. Everything is in float32.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.contract import Filter
from ecg_jax.data.filters import apply_filter
from ecg_jax.explanation import logits
from ecg_jax.explanation.logits import Apply, Rows

_LOWPASS = 0.5  # Hz, below any heart rate


def create_lowpass_baseline(signal: np.ndarray, sampling_rate: float) -> np.ndarray:
    """What remains below the beats, `[B, T, L]` float32: each lead below 0.5 Hz (`data.filters`)."""
    step = Filter(sampling_rate, highpass=0, lowpass=_LOWPASS, notch=0)
    return np.stack([apply_filter(step, each, np.ones(each.shape, bool)) for each in np.asarray(signal, np.float32)])


def integrated_gradients(
    apply: Apply, variables: Any, signal: Rows, output: int, baseline: Rows, *, steps: int
) -> jax.Array:
    """Attributes the difference of a logit between a signal and a baseline.

    Args:
        apply: See the module's docstring.
        variables: Of the network.
        signal: `[B, T, L]`.
        output: Which logit; labels share a compilation.
        baseline: `[B, T, L]`.
        steps: Points of the line, denser near the baseline, where the gradient changes fastest: midpoints of equal
            parts of the square root of the distance.

    Returns:
        `[B, T, L]` float32 in units of the logit; positive where the signal raises it.
    """
    place = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    signal, baseline = (np.asarray(each, np.float32) for each in (signal, baseline))
    gradients = [
        logits.sum_gradients(apply, variables, output, _walk, pair, place**2, 2 * place / steps)
        for pair in zip(signal, baseline, strict=True)
    ]
    return jnp.stack(gradients) * (signal - baseline)


def find_missing(
    apply: Apply, variables: Any, signal: Rows, output: int, baseline: Rows, values: np.ndarray
) -> np.ndarray:
    """What integrated gradients miss of the difference that they should add up to, as a share of it: `[B]`."""
    pairs = zip(*(np.asarray(each, np.float32) for each in (signal, baseline)), strict=True)
    ends = np.stack(
        [logits.compute(apply, variables, output, _walk, pair, np.array([0, 1], np.float32)) for pair in pairs]
    )
    gained = np.diff(ends.astype(np.float64))[:, 0]
    missing = np.abs(values.sum(axis=(1, 2), dtype=np.float64) - gained)
    return missing / np.where(missing > 0, np.maximum(np.abs(gained), 1e-9), 1)


def _walk(ends: tuple[jax.Array, jax.Array], places: jax.Array) -> jax.Array:
    """Signals on the line to a signal from its baseline, 0 is the latter."""
    signal, baseline = ends
    return baseline + places[:, None, None] * (signal - baseline)


def smooth_gradient(
    apply: Apply, variables: Any, signal: Rows, output: int, rng: jax.Array, *, noise: float, samples: int
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
    keys, weights = jax.random.split(rng, samples), np.full(samples, 1 / samples, np.float32)
    signal = np.asarray(signal, np.float32)
    gradients = [
        logits.sum_gradients(apply, variables, output, _add_noise, (each, noise), keys, weights) for each in signal
    ]
    return jnp.stack(gradients) * signal


def _add_noise(known: tuple[jax.Array, float], keys: jax.Array) -> jax.Array:
    signal, noise = known
    drawn = jax.vmap(lambda key: jax.random.normal(key, signal.shape))(keys)
    return signal + noise * (signal.max() - signal.min()) * drawn
