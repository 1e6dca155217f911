"""The PTB-XL benchmark's `inception1d` as a trunk.

InceptionTime (Ismail Fawaz et al. 2020, Data Min Knowl Disc 34:1936) in the form of Strodthoff et
al. 2021 (IEEE JBHI 25:1519; helme/ecg_ptbxl_benchmarking, code/models/inception1d.py): one network,
not five of them, with odd kernels, so that 40, 20 and 10 taps have become 39, 19 and 9.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.models.convolution import Conv
from ecg_jax.models.layers import ConvNorm, TorchBatchNorm, Trunk

_RESIDUAL_EVERY = 3  # modules


class InceptionModule(nn.Module):
    """Convolutions of several lengths, side by side, of the same few channels; and one of pooled samples."""

    filters: int
    kernel_sizes: tuple[int, ...]
    bottleneck: int
    convolution: str
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, T, filters * (len(kernel_sizes) + 1)]`."""
        conv = functools.partial(Conv, method=self.convolution, dtype=self.dtype)
        narrow = conv(self.bottleneck, 1, name="bottleneck")(x)
        parts = [conv(self.filters, taps, name=f"conv{taps}")(narrow) for taps in self.kernel_sizes]
        parts.append(conv(self.filters, 1, name="pooled")(nn.max_pool(x, (3,), padding="SAME")))
        norm = TorchBatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
        return nn.relu(norm(jnp.concatenate(parts, axis=-1), use_running_average=not train))


class Inception1d(Trunk):
    """Signals to features, at the input's sampling rate."""

    depth: int = 6  # modules; a shortcut spans three of them
    filters: int = 32  # channels of each convolution of a module
    kernel_sizes: tuple[int, ...] = (39, 19, 9)  # their taps, odd numbers
    bottleneck: int = 32  # channels that they share as input
    convolution: str = "auto"  # one of `convolution.METHODS`

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T, filters * (len(kernel_sizes) + 1)]`."""
        del index
        create = self.create_block(InceptionModule)
        shared: dict[str, Any] = {"axis_name": self.axis_name, "dtype": self.dtype}
        module = functools.partial(create, self.filters, self.kernel_sizes, self.bottleneck, self.convolution, **shared)
        x = shortcut = signal
        for i in range(1, self.depth + 1):
            x = module(name=f"module{i}")(x, train)
            if i % _RESIDUAL_EVERY == 0:
                conv = ConvNorm(x.shape[-1], 1, **shared, name=f"shortcut{i // _RESIDUAL_EVERY}")
                x = shortcut = nn.relu(x + conv(shortcut, train))
        return x
