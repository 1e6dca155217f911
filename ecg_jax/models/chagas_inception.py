"""An inception network for Chagas disease as a trunk.

Ahus AIM's entry to the PhysioNet Challenge 2025 (Ahus-AIM/physionet-challenge-2025, src/model/inception.py):
InceptionTime (Ismail Fawaz et al. 2020, Data Min Knowl Disc 34:1936) behind two convolutions that shorten time to a
quarter, with GELU. Published for crops of 800 samples at 400 Hz, z-scored, of the leads aVL, aVF and V1 to V6.

Kernels start as PyTorch's do, biases at zero.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import TorchBatchNorm, Trunk, torch_uniform

RESIDUAL_EVERY = 3  # blocks
_STRIDE, _SHORTENINGS = 2, 2

gelu = functools.partial(nn.gelu, approximate=False)


class InceptionBlock(nn.Module):
    """Convolutions of several lengths, side by side, of the same few channels; and one of pooled samples."""

    filters: int
    kernel_sizes: tuple[int, ...]
    bottleneck: int
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, T, filters * (len(kernel_sizes) + 1)]`."""
        conv = functools.partial(nn.Conv, use_bias=False, kernel_init=torch_uniform, dtype=self.dtype)
        narrow = conv(self.bottleneck, (1,), name="bottleneck")(x)
        parts = [conv(self.filters, (taps,), name=f"conv{i}")(narrow) for i, taps in enumerate(self.kernel_sizes, 1)]
        parts.append(conv(self.filters, (1,), name="pooled")(nn.max_pool(x, (3,), padding="SAME")))
        norm = TorchBatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
        return gelu(norm(jnp.concatenate(parts, axis=-1), use_running_average=not train))


class ChagasInception(Trunk):
    """Signals to features."""

    depth: int = 6  # blocks; a shortcut spans three of them
    filters: int = 32  # channels of each convolution
    kernel_sizes: tuple[int, ...] = (9, 19, 39)  # taps of a block's, odd numbers
    bottleneck: int = 32  # channels that these share as input
    first_kernel_size: int = 5  # taps of the convolutions that shorten time

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T', filters * (len(kernel_sizes) + 1)]`, 197 times 128 of 800.

        Raises:
            InputError: when nothing would be left of the samples.
        """
        del index
        needed = 1
        for _ in range(_SHORTENINGS):
            needed = (needed - 1) * _STRIDE + self.first_kernel_size
        if signal.shape[1] < needed:
            raise InputError(
                f"chagas_inception needs at least {needed} samples (it was made for 800); contract.samples is "
                f"{signal.shape[1]}"
            )
        create = self.create_block(InceptionBlock)
        shared: dict[str, Any] = {"axis_name": self.axis_name, "dtype": self.dtype}
        conv = functools.partial(nn.Conv, kernel_init=torch_uniform, dtype=self.dtype)

        def normalize(x: jax.Array, name: str) -> jax.Array:
            return TorchBatchNorm(**shared, name=name)(x, use_running_average=not train)

        x = signal
        for i in range(1, _SHORTENINGS + 1):
            x = conv(self.filters, (self.first_kernel_size,), _STRIDE, padding="VALID", name=f"down{i}")(x)
            x = gelu(normalize(x, f"down{i}_norm"))
        shortcut = x
        for i in range(1, self.depth + 1):
            block = create(self.filters, self.kernel_sizes, self.bottleneck, **shared, name=f"block{i}")
            x = block(x, train)
            if i % RESIDUAL_EVERY == 0:
                name = f"shortcut{i // RESIDUAL_EVERY}"
                shortcut = conv(x.shape[-1], (1,), use_bias=False, name=name)(shortcut)
                x = shortcut = gelu(x + normalize(shortcut, f"{name}_norm"))
        return x
