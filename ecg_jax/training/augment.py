"""Augmentations on the device, one key per example, inside the train step.

Amplitudes are in the unit of the input contract. Padding and gaps stay zero.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ecg_jax.errors import InputError

AugmentFn = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def create(
    *, noise: float = 0.0, wander: float = 0.0, scale: float = 0.0, shift: float = 0.0, lead_dropout: float = 0.0
) -> AugmentFn:
    """Builds the augmentation of one example.

    Args:
        noise: Standard deviation of white noise at its strongest; each example draws its own in [0, this].
        wander: Amplitude of baseline wander at its strongest, one slow sinusoid per lead.
        scale: Amplitudes are multiplied by a factor within 1 +- this, the same for all leads.
        shift: Largest shift in time, as a fraction of the window; what leaves is lost, zeros enter.
        lead_dropout: Probability that a lead is set to zero.

    Returns:
        `(rng, signal [T, leads], valid [T]) -> signal [T, leads]`.

    Raises:
        InputError: on a negative value, or a probability or fraction of 1 or more.
    """
    settings = {"noise": noise, "wander": wander, "scale": scale, "shift": shift, "lead_dropout": lead_dropout}
    if min(settings.values()) < 0 or max(scale, shift, lead_dropout) >= 1:
        raise InputError(f"augment is {settings}; all must be >= 0, and scale, shift and lead_dropout below 1")

    def augment(rng: jax.Array, signal: jax.Array, valid: jax.Array) -> jax.Array:
        keys = jax.random.split(rng, 8)
        samples, leads = signal.shape
        dtype = signal.dtype
        if scale:
            signal = signal * jax.random.uniform(keys[0], (), dtype, 1 - scale, 1 + scale)
        if noise:
            size = jax.random.uniform(keys[1], (), dtype, 0, noise)
            signal = signal + size * jax.random.normal(keys[2], signal.shape, dtype)
        if wander:
            cycles = jax.random.uniform(keys[3], (), dtype, 0.5, 4)
            phase = jax.random.uniform(keys[4], (leads,), dtype, 0, 2 * jnp.pi)
            size = jax.random.uniform(keys[5], (leads,), dtype, 0, wander)
            time = jnp.arange(samples, dtype=dtype)[:, None] / samples
            signal = signal + size * jnp.sin(2 * jnp.pi * cycles * time + phase)
        if lead_dropout:
            signal = signal * jax.random.bernoulli(keys[6], 1 - lead_dropout, (leads,)).astype(dtype)
        signal = jnp.where(valid[:, None], signal, 0)
        if shift:
            most = round(shift * samples)
            offset = jax.random.randint(keys[7], (), -most, most + 1)
            moved = jnp.arange(samples) - offset
            inside = (moved >= 0) & (moved < samples)
            signal = jnp.where(inside[:, None], jnp.roll(signal, offset, axis=0), 0)
        return signal

    return augment
