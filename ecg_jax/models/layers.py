"""Layers that differ from Linen's own, and the attributes that all trunks share.

Keras' and PyTorch's BatchNorm, PyTorch's padding, a reproducible dropout, a cheaper max pooling.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.random_bits import draw_bits, mix

Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.he_normal())
# Keras' defaults, with which the published weights were trained.
BatchNorm = functools.partial(nn.BatchNorm, epsilon=1e-3, momentum=0.99)
# PyTorch's, with which the benchmark networks were trained; its momentum of 0.1 is the weight of the new statistics.
TorchBatchNorm = functools.partial(nn.BatchNorm, epsilon=1e-5, momentum=0.9)
# PyTorch's default kernels: uniform within 1 / sqrt(inputs of one output).
torch_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Trunk(nn.Module):
    """Signals to features."""

    # Keep only the inputs of blocks for the backward pass, and recompute the rest there: less memory, a third more
    # arithmetic.
    checkpoint_activations: bool = False
    axis_name: str | None = None  # mapped axis to average BatchNorm's statistics over; None for none
    dtype: DTypeLike | None = None  # of the computation; None for that of signal and parameters

    def create_block(self, block: type[nn.Module], train: int = 2) -> Callable[..., nn.Module]:
        """The class of a block, whose argument number `train` is static, with checkpointing if chosen."""
        return nn.remat(block, static_argnums=(train,)) if self.checkpoint_activations else block


class ConvNorm(nn.Module):
    """A convolution over time without bias and a BatchNorm, as in PyTorch.

    The same number of zeros is padded on either side; TensorFlow's `SAME` shifts strided outputs.
    """

    filters: int  # channels of the output
    kernel_size: int  # taps, an odd number
    stride: int = 1  # of the output
    is_zero: bool = False  # BatchNorm's scale starts at zero, so that a residual block starts as its shortcut
    axis_name: str | None = None  # see `Trunk`
    dtype: DTypeLike | None = None  # see `Trunk`

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, ceil(T / stride), filters]`."""
        x = nn.Conv(
            self.filters,
            (self.kernel_size,),
            self.stride,
            padding=(self.kernel_size - 1) // 2,
            use_bias=False,
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            name="conv",
        )(x)
        scale = nn.initializers.zeros if self.is_zero else nn.initializers.ones
        norm = TorchBatchNorm(axis_name=self.axis_name, dtype=self.dtype, scale_init=scale, name="norm")
        return norm(x, use_running_average=not train)


class Dropout(nn.Module):
    """Dropout whose mask depends on each example's `index`, not on its place on a device.

    So a global batch gets the same masks on any number of devices.
    """

    rate: float  # fraction that is dropped, in [0, 1)

    @nn.compact
    def __call__(self, x: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Drops features of `x` `[B, ...]` and scales the rest up; `index` is `[B]` int."""
        if not train or self.rate == 0:
            return x
        key = jax.random.key_data(self.make_rng("dropout"))
        example = mix(mix(index.astype(jnp.uint32) ^ key[..., 0]) + key[..., 1])
        bits = draw_bits(example.reshape(-1, *[1] * (x.ndim - 1)), x.shape[1:])
        threshold = jnp.uint32(min(round(self.rate * 2**32), 2**32 - 1))
        return jnp.where(bits >= threshold, x / (1 - self.rate), 0)


def max_pool(x: jax.Array, window: int) -> jax.Array:
    """Maximum of each window of samples: `[B, T, C]` to `[B, ceil(T / window), C]`, padded as for `SAME`."""
    batch, samples, channels = x.shape
    if samples % window:
        return nn.max_pool(x, (window,), (window,), padding="SAME")
    return _max_over_windows(x.reshape(batch, samples // window, window, channels))


@jax.custom_vjp
def _max_over_windows(x: jax.Array) -> jax.Array:
    return x.max(axis=2)


def _max_forward(x: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    largest = x.max(axis=2)
    return largest, (x, largest)


def _max_backward(residuals: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    """The first of equal values takes all of the gradient, as in TensorFlow (and in Linen's pooling)."""
    x, largest = residuals
    parts, is_taken = [], jnp.zeros(largest.shape, bool)
    for place in range(x.shape[2]):
        is_first = (x[:, :, place] == largest) & ~is_taken
        parts.append(jnp.where(is_first, gradient, 0))
        is_taken |= is_first
    return (jnp.stack(parts, axis=2),)


_max_over_windows.defvjp(_max_forward, _max_backward)
