"""The steps of an input contract in JAX, for signals that already have its leads, sampling rate and length."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
import scipy.signal

from ecg_jax.contract import Filter, MinMax, Scale, Shift, Step, ZScore
from ecg_jax.data import filters, preprocess

_SETTLING = 1.5  # seconds, over the high pass; at least 3 s: margin for circular-convolution transients


def run(steps: Sequence[Step], signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Carries out steps, jittable. The result equals that of `preprocess.create_input`, but for filters near the ends.

    Args:
        steps: Of `InputContract`; no `Resample`, no `SubtractMedian`.
        signal: `[..., T, leads]` float32; `[T, leads]` where a step filters.
        valid: `[..., T, leads]` bool; one column for all leads where a step filters.

    Returns:
        An array like `signal`, 0 where invalid.
    """
    for step in steps:
        match step:
            case Filter():
                signal = _filter(step, signal, valid[:, 0])
            case ZScore() | MinMax():
                signal = preprocess.normalize(step, signal, valid, jnp)
            case Shift():
                signal = signal - step.millivolts
            case Scale():
                signal = signal * jnp.asarray(step.factors, signal.dtype)
            case _:
                raise TypeError(f"{type(step).__name__} is carried out by `preprocess` alone")
    return jnp.where(valid, signal, 0)


def _filter(step: Filter, signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Multiplies the Fourier transform by the response of `filters.apply_filter`, forward and backward.

    As there, the signal is continued by a second of its point reflection on both sides. Near the ends the result
    differs, because recursive filters start from a guess; with much wander a z-score may differ there by 0.4.
    """
    rate, samples = round(step.sampling_rate), len(valid)
    settling = _SETTLING / step.highpass if step.highpass else 0.0
    margin = round(step.sampling_rate * max(3.0, settling))
    length = scipy.fft.next_fast_len(samples + 2 * margin, real=True)
    angles = 2 * np.pi * np.fft.rfftfreq(length)
    response = np.abs(scipy.signal.sosfreqz(filters.design_filter(step), angles)[1]) ** 2
    first, last = jnp.argmax(valid), samples - 1 - jnp.argmax(valid[::-1])
    number = jnp.clip(jnp.arange(length) - margin, first - rate, last + rate)
    nearest = jnp.clip(number, first, last)
    edge, mirrored = signal[nearest], signal[jnp.clip(2 * nearest - number, first, last)]
    continued = jnp.where((number != nearest)[:, None], 2 * edge - mirrored, edge)
    spectrum = jnp.fft.rfft(continued, axis=0) * jnp.asarray(response, jnp.float32)[:, None]
    return jnp.fft.irfft(spectrum, length, axis=0)[margin : margin + samples]
