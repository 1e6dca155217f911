"""Convolution over time: directly, or with fewer multiplications (fast FIR algorithms).

A block of `m` outputs of an `r`-tap filter depends on `m + r - 1` inputs and needs fewer products than `m * r`:
`outputs @ ((taps @ kernel) * (inputs @ signal))`, where three small constant matrices surround products between
channels, which are large matrix products. Two such algorithms are used, both exact except for rounding (Winograd 1980,
"Arithmetic Complexity of Computations"; Blahut 2010, "Fast Algorithms for Signal Processing"):

- stride 1: the discrete Fourier transform of blocks of `2 r`, with three real products for each complex one: 47
  products for 16 outputs of 16 taps instead of 256.
- strides: a filter of `r` taps and stride `s` is one of `r / s` taps and stride 1 on `s` times the channels (its
  polyphase form); for the remaining 4 taps, Toom-Cook's 7 products for 4 outputs instead of 16.

`experiments/convolution.py` measures the gain per layer.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from ecg_jax.errors import InputError

METHODS = ("auto", "direct", "fast")

# Finite points of Toom-Cook (infinity is one more): of the simple fractions tried, those with the least rounding.
_POINTS = (0.0, 1.0, -1.0, 2.0, -0.75, 0.5)
_MIN_CHANNELS, _MIN_BLOCKS = 32, 16  # below, the direct form was faster: see experiments/convolution.py


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A bilinear algorithm for `m` consecutive values of `y[t] = sum_k kernel[k] signal[t + k]`, `k < r`."""

    inputs: np.ndarray  # `[products, n]`, `n >= m + r - 1`
    taps: np.ndarray  # `[products, r]`
    outputs: np.ndarray  # `[m, products]`


@functools.cache
def create_fourier(taps: int) -> Algorithm:
    """The discrete Fourier transform of `2 * taps` samples, for `taps` outputs and `3 * taps - 1` real products."""
    size, half = 2 * taps, np.arange(1, taps)
    angle = 2 * np.pi * np.outer(half, np.arange(size)) / size
    real, imaginary = np.cos(angle), -np.sin(angle)
    ends = np.stack([np.ones(size), (-1.0) ** np.arange(size)])  # frequencies 0 and Nyquist, both real
    # With signal a + ib and conjugated kernel c - id: c(a + b) + b(d - c) is real, c(a + b) - a(c + d) imaginary.
    inputs = np.concatenate([ends, real + imaginary, real, imaginary])
    kernel = np.concatenate([ends, real, real + imaginary, imaginary - real])
    back = 2 / size * np.stack([real, imaginary])
    outputs = np.concatenate([ends / size, back[0] + back[1], -back[1], back[0]])
    return Algorithm(inputs, kernel[:, :taps], outputs[:, :taps].T)


@functools.cache
def create_toom_cook(outputs: int, taps: int) -> Algorithm:
    """Toom-Cook's (Winograd's minimal) algorithm, `outputs + taps - 1` products."""
    size = outputs + taps - 1

    def evaluate(width: int) -> np.ndarray:
        powers = np.vander(_POINTS[: size - 1], width, increasing=True)
        return np.concatenate([powers, np.eye(width)[-1:]])

    return Algorithm(np.linalg.inv(evaluate(size)).T, evaluate(taps), evaluate(outputs).T)


def convolve(signal: jax.Array, kernel: jax.Array, stride: int = 1, method: str = "auto") -> jax.Array:
    """Convolves over time, without flipping the kernel, padded as TensorFlow pads for `SAME`.

    Args:
        signal: `[B, T, C]`.
        kernel: `[taps, C, filters]` of the same dtype.
        stride: Of the outputs.
        method: `direct`; `fast` (largest difference from it, over the largest magnitude: 6e-7 at
            stride 1, 6e-6 at stride 4, in float32); or `auto`, the one measured to be
            faster: on CPUs `fast`, except for few channels or samples; elsewhere `direct`.

    Returns:
        `[B, ceil(T / stride), filters]`.

    Raises:
        InputError: on `fast` without such an algorithm.
    """
    if len(kernel) == stride == 1:
        return signal @ kernel[0]
    algorithm = _find(len(kernel), stride) if method != "direct" else None
    if method == "fast" and algorithm is None:
        raise InputError(f"model.convolution is 'fast', which does not support {len(kernel)} taps at stride {stride}")
    if algorithm is None or (method == "auto" and not _pays(algorithm, signal, kernel, stride)):
        return lax.conv_general_dilated(signal, kernel, (stride,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    return _apply(algorithm, signal, kernel, stride)


def _find(taps: int, stride: int) -> Algorithm | None:
    if stride == 1 and taps >= 8:
        return create_fourier(taps)
    if stride > 1 and taps == 4 * stride:
        return create_toom_cook(4, 4)
    return None


def _pays(algorithm: Algorithm, signal: jax.Array, kernel: jax.Array, stride: int) -> bool:
    is_wide = min(kernel.shape[1:]) >= _MIN_CHANNELS
    blocks = len(signal) * signal.shape[1] // (stride * len(algorithm.outputs))
    is_exact = signal.dtype in (jnp.float32, jnp.float64)
    return jax.default_backend() == "cpu" and is_exact and is_wide and blocks >= _MIN_BLOCKS


def _apply(algorithm: Algorithm, signal: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Runs an algorithm on blocks of outputs; with a stride, on the polyphase form of both."""
    batch, samples, _ = signal.shape
    taps, channels, filters = kernel.shape
    matmul = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    to_products, to_kernel, to_outputs = (
        jnp.asarray(matrix, signal.dtype) for matrix in (algorithm.inputs, algorithm.taps, algorithm.outputs)
    )
    products, size = to_products.shape
    step = len(to_outputs)  # outputs of a block
    length = -(-samples // stride)
    blocks = -(-length // step)
    spans = -(-size // step)  # chunks of `step` inputs that a block's inputs lie in

    left = max((length - 1) * stride + taps - samples, 0) // 2
    right = (blocks - 1 + spans) * step * stride - left - samples
    zeros = functools.partial(jnp.zeros, dtype=signal.dtype)
    padded = jnp.concatenate([zeros((batch, left, channels)), signal, zeros((batch, right, channels))], axis=1)
    chunks = padded.reshape(batch, blocks - 1 + spans, step, stride * channels).transpose(2, 0, 1, 3)
    overlapping = [chunks[: size - i * step, :, i : i + blocks] for i in range(spans)]
    spectrum = matmul(to_products, jnp.concatenate(overlapping).reshape(size, -1))
    weights = matmul(to_kernel, kernel.reshape(taps // stride, -1))
    mixed = matmul(spectrum.reshape(products, batch * blocks, -1), weights.reshape(products, -1, filters))
    result = matmul(to_outputs, mixed.reshape(products, -1))
    result = result.reshape(step, batch, blocks, filters).transpose(1, 2, 0, 3).reshape(batch, -1, filters)
    return result[:, :length]


class Conv(nn.Module):
    """A convolution over time without bias by `convolve`; parameters as in `nn.Conv`."""

    filters: int  # channels of the output
    kernel_size: int  # taps
    stride: int = 1  # of the output
    method: str = "auto"  # one of `METHODS`
    dtype: DTypeLike | None = None  # of the computation; None for that of signal and parameters

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `[B, T, C]` to `[B, ceil(T / stride), filters]`."""
        shape = (self.kernel_size, x.shape[-1], self.filters)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        x, kernel = nn.dtypes.promote_dtype(x, kernel, dtype=self.dtype)
        return convolve(x, kernel, self.stride, self.method)
