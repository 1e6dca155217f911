"""What the delineator is trained on: simulated ECGs, made as different as recordings are."""

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.explanation.delineation_network import SAMPLING_RATE
from ecg_jax.explanation.simulated_waves import Example, draw_example
from ecg_jax.simulation.patients import Population

# Fractions of a wave's height and millivolts; see `simulation.boundaries`.
THRESHOLDS = {
    "P": np.array([(0.03, 0.005), (0.05, 0.01), (0.1, 0.02)], np.float32),
    "QRS": np.array([(0.01, 0.015), (0.02, 0.03), (0.06, 0.04)], np.float32),
    "T": np.array([(0.02, 0.01), (0.05, 0.015), (0.1, 0.03)], np.float32),
}
SAMPLES = 1280


def draw_population(key: jax.Array) -> Population:
    """A hospital's, with more ectopic beats, a wider spread and other noise in each recording."""
    noise, spread = jax.random.normal(key, (2,))
    return Population(
        ill=0.6,
        rhythms=(0.62, 0.16, 0.05, 0.03, 0.03, 0.06, 0.03, 0.02),
        ventricular_ectopy=0.22,
        atrial_ectopy=0.16,
        spread=1.2 * jnp.exp(0.2 * spread),  # type: ignore[arg-type]
        noise=0.9 * jnp.exp(0.8 * noise),  # type: ignore[arg-type]
    )


def draw_leads(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Which leads a recording has: `count` numbers, and which of them are recorded."""
    order, number, kept = jax.random.split(key, 3)
    if count == 12:
        is_partial = jax.random.bernoulli(number, 0.3)
        recorded = ~is_partial | jax.random.bernoulli(kept, 0.7, (12,))
        return jnp.arange(12), recorded.at[1].set(True)
    chosen = jax.random.permutation(order, 12)[:count]
    return chosen, jnp.arange(count) < jax.random.randint(number, (), 1, count + 1)


def augment(key: jax.Array, signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Changes gain, polarity, baseline, bandwidth and resolution of `[L, T]` mV."""
    keys = jax.random.split(key, 10)
    leads, samples = signal.shape
    gain = jnp.exp(0.1 * jax.random.normal(keys[0], (leads, 1)))
    sign = jnp.where(jax.random.bernoulli(keys[1], 0.1, (leads, 1)), -1.0, 1.0)
    time = jnp.arange(samples) / SAMPLING_RATE
    rates = jax.random.uniform(keys[2], (3, 1), minval=0.05, maxval=0.6)
    phases = jax.random.uniform(keys[3], (leads, 3, 1), maxval=2 * jnp.pi)
    size = 0.4 * jax.random.exponential(keys[4], (leads, 1)) * jax.random.bernoulli(keys[5], 0.2)
    wander = size * jnp.sum(jnp.sin(2 * jnp.pi * rates * time + phases), axis=1)
    frequency = jnp.fft.rfftfreq(samples, 1 / SAMPLING_RATE)
    is_slow = jax.random.bernoulli(keys[6], 0.35)
    limit = jnp.where(is_slow, jax.random.uniform(keys[7], minval=30.0, maxval=60.0), 1e3)
    response = 1 / jnp.sqrt(1 + (frequency / limit) ** 8)
    signal = jnp.fft.irfft(jnp.fft.rfft(gain * sign * signal) * response, samples) + wander
    step = jax.random.uniform(keys[8], (leads, 1), minval=0.005, maxval=0.03) * jax.random.bernoulli(keys[9], 0.3)
    signal = jnp.where(step > 0, jnp.round(signal / jnp.maximum(step, 1e-3)) * step, signal)
    centre = jnp.nanmedian(jnp.where(valid, signal, jnp.nan), axis=1, keepdims=True)
    return jnp.where(valid, signal - jnp.nan_to_num(centre), 0.0)


def warp(key: jax.Array, example: Example) -> Example:
    """Moves P and T waves of each lead by some milliseconds against those of the others.

    In the simulator T ends at the same time in all leads, unlike in patients; QRS complexes stay nearly where they are.
    """
    keys = jax.random.split(key, 3)
    leads, samples = example.signal.shape
    time = jnp.arange(samples) / SAMPLING_RATE
    rates = jax.random.uniform(keys[0], (leads, 3, 1), minval=0.4, maxval=2.0)
    phases = jax.random.uniform(keys[1], (leads, 3, 1), maxval=2 * jnp.pi)
    size = 0.006 * jnp.abs(jax.random.normal(keys[2], (leads, 1)))  # seconds, of each of three sinusoids
    near = jax.lax.reduce_window(example.is_complex.astype(jnp.float32), 0.0, jax.lax.max, (41,), (1,), "SAME")
    near = jnp.convolve(near, jnp.ones(21) / 21, mode="same")
    moved = SAMPLING_RATE * size * jnp.sum(jnp.sin(2 * jnp.pi * rates * time + phases), axis=1) * (1 - 0.85 * near)
    place = jnp.clip(jnp.arange(samples) + moved, 0, samples - 1.001)
    low = place.astype(jnp.int32)
    share = place - low

    def take(values: jax.Array) -> jax.Array:
        index = low.reshape(*low.shape, *[1] * (values.ndim - 2))
        part = share.reshape(index.shape)
        after = jnp.take_along_axis(values, index + 1, axis=1)
        return (1 - part) * jnp.take_along_axis(values, index, axis=1) + part * after

    return example._replace(signal=take(example.signal), inside=take(example.inside))


def draw_one(key: jax.Array, leads: int) -> Example:
    """One example with this number of leads."""
    drawing, whose, which, changing = jax.random.split(key, 4)
    example = draw_example(
        drawing,
        draw_population(whose),
        THRESHOLDS,
        samples=SAMPLES,
        sampling_rate=SAMPLING_RATE,
        durations=(6.0, 6.0, 6.0, 3.0),
    )
    chosen, recorded = draw_leads(which, leads)
    valid = example.recorded[chosen] & recorded[:, None]
    example = example._replace(signal=example.signal[chosen], recorded=valid, inside=example.inside[chosen])
    example = warp(jax.random.fold_in(whose, 1), example)
    return example._replace(signal=augment(changing, example.signal, valid))
