"""From the potentials at electrodes to the samples of a file: noise, the electrocardiograph, and faults."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.random_bits import draw_bits, mix
from ecg_jax.simulation import leads
from ecg_jax.simulation.draws import Draws

_SLOWEST, _FASTEST = 0.1, 12.0  # Hz, of baseline wander and moving electrodes
_BINS = 64
_QUANTA = (0.0, 1e-3, 2.44e-3, 4.88e-3)  # mV per count


@functools.lru_cache(maxsize=4)
def _create_basis(samples: int, sampling_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `[_BINS]`, evenly spaced in their logarithm, and their cosines and sines, `[samples, 2 * _BINS]`."""
    frequency = np.geomspace(_SLOWEST, _FASTEST, _BINS) * (1 + 0.3 * np.sin(np.arange(_BINS)) / _BINS)
    angle = 2 * np.pi * np.arange(samples)[:, None] / sampling_rate * frequency
    return frequency.astype(np.float32), np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def draw_noise(
    draws: Draws, samples: int, sampling_rate: float, level: float | jax.Array, faults: float | jax.Array
) -> jax.Array:
    """Noise of each electrode, `[samples, 9]` mV in the order of `leads.ELECTRODES`.

    Below 12 Hz a sum of sinusoids whose power falls with frequency (baseline wander, moving electrodes); above, muscle
    noise with bursts; the powerline's 50 or 60 Hz with its third harmonic. `level` is a factor of all noise, `faults`
    of how often an electrode is loose, and so noisier than the others.
    """
    electrodes = len(leads.ELECTRODES)
    loose = 1 + 6 * draws.flip(0.05 * faults) * jax.nn.one_hot(draws.choose([1.0] * electrodes), electrodes)
    quality = draws.lognormal(1.0, 0.5)  # of the whole recording
    each = draws.lognormal(1.0, 0.4, electrodes) * loose
    frequency, basis = _create_basis(samples, sampling_rate)
    steep = draws.uniform(1.0, 2.2)
    wander = draws.lognormal(0.010, 1.0) * jnp.where(frequency < 0.6, 1.0, 0.0) * (frequency / 0.3) ** -0.5
    moves = draws.lognormal(0.003, 0.9) * frequency**-steep * (frequency >= 0.5)
    shape = jnp.tile(jnp.sqrt((wander / 4) ** 2 + (moves / 2) ** 2), 2)
    slow = basis @ (shape[:, None] * draws.normal(count=2 * _BINS * electrodes).reshape(2 * _BINS, electrodes) * each)
    white = _draw_white(draws, (samples + 2, electrodes))
    smooth = draws.uniform(0.0, 0.6)  # how little of it is fast
    muscle = white[1:-1] + smooth * (white[:-2] + white[2:])
    time = jnp.arange(samples) / sampling_rate
    swell = draws.uniform(0.0, 0.9) * jnp.sin(2 * jnp.pi * draws.uniform(0.05, 0.6) * time + draws.uniform(0, 6.28))
    burst = draws.flip(0.1) * draws.lognormal(3.0, 0.5)
    width = draws.uniform(0.2, 1.5)
    envelope = 1 + swell + burst * jnp.exp(-0.5 * ((time - draws.uniform(0.0, 10.0)) / width) ** 2)
    muscle = draws.lognormal(0.008, 0.8) / jnp.sqrt(1 + 2 * smooth**2) * envelope[:, None] * muscle * each
    mains = 2 * jnp.pi * jnp.where(draws.flip(0.6), 50.0, 60.0) * (1 + draws.normal(0.0, 5e-4)) * time
    harmonic = draws.uniform(0.0, 0.3)
    quadratures = jnp.stack([jnp.cos(mains), jnp.sin(mains), harmonic * jnp.cos(3 * mains + 1)], axis=1)
    hum = quadratures @ (draws.lognormal(0.003, 1.2) * draws.normal(count=3 * electrodes).reshape(3, electrodes) * each)
    return level * quality * (slow + muscle + hum)


def _draw_white(draws: Draws, shape: tuple[int, ...]) -> jax.Array:
    """Independent, nearly normal numbers of unit variance: each is the sum of a random word's four bytes."""
    bits = _draw_bits(draws, shape)
    total = (bits & 0xFF) + (bits >> 8 & 0xFF) + (bits >> 16 & 0xFF) + (bits >> 24)
    return (total.astype(jnp.float32) - 510) / np.float32(np.sqrt((256**2 - 1) / 3))


def _draw_bits(draws: Draws, shape: tuple[int, ...]) -> jax.Array:
    first, second = jax.lax.bitcast_convert_type(draws.uniform(count=2), jnp.uint32)
    return draw_bits(mix(mix(first) ^ second), shape)


def filter_as_device(draws: Draws, signal: jax.Array, sampling_rate: float) -> jax.Array:
    """Filters `[T, N]` as an electrocardiograph does.

    A causal high pass of order 1 at 0.05 to 0.67 Hz, and a low pass of order 2 at 150, 100 or 40 Hz (Kligfield et al.
    2007, J Am Coll Cardiol 49:1109, on common and recommended filters).
    """
    samples = signal.shape[0]
    frequency = jnp.asarray(np.fft.rfftfreq(samples, 1 / sampling_rate), jnp.float32)
    slow = jnp.array([0.05, 0.15, 0.5, 0.67])[draws.choose([0.62, 0.25, 0.10, 0.03])]
    fast = jnp.array([150.0, 100.0, 40.0])[draws.choose([0.55, 0.3, 0.15])]
    response = (1j * frequency / (1j * frequency + slow)) / jnp.sqrt(1 + (frequency / fast) ** 4)
    return jnp.fft.irfft(jnp.fft.rfft(signal, axis=0) * response[:, None], samples, axis=0)


def digitize(draws: Draws, signal: jax.Array, faults: float | jax.Array) -> jax.Array:
    """Adds gain error, rounding to counts, amplifiers at their limit and chest electrodes that are off to `[T, 12]` mV.

    Rounding is simulated by its noise, uniform over a count (Widrow 1956, IRE Trans Circuit Theory 3:266): otherwise a
    sample halfway between counts would differ by a whole count between devices. `faults` is a factor of how often
    amplifiers reach their limit and electrodes are off.
    """
    signal = signal * draws.lognormal(1.0, 0.04)
    quantum = jnp.array(_QUANTA)[draws.choose([0.2, 0.3, 0.2, 0.3])]
    uniform = (_draw_bits(draws, signal.shape) >> 8).astype(jnp.float32) * np.float32(2**-24)  # 0 to 1
    signal = signal + quantum * (uniform - 0.5)
    limit = jnp.where(draws.flip(0.02 * faults), draws.uniform(1.5, 4.0), 20.0)
    is_off = jnp.concatenate([jnp.zeros(6, bool), draws.flip(0.01 * faults, 6)])
    return jnp.where(is_off, 0.0, jnp.clip(signal, -limit, limit))
