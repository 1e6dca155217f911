"""ECGFounder's `Net1D` as a trunk.

Li et al. 2024 (arXiv:2410.04133, "An Electrocardiogram Foundation Model Built on over 10 Million Recordings";
PKUDigitalHealth/ECGFounder, net1d.py): residual blocks of grouped convolutions and squeeze-excitation, without
normalization and dropout, which the published code defines but leaves off. Published for 5000 samples at 500 Hz, of 12
leads or of lead I.

Kernels start as PyTorch's do, biases at zero.
"""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import Trunk, max_pool, torch_uniform

_STRIDE = 2  # of the stem and of every stage


class Block(nn.Module):
    """Convolutions of one, `kernel_size` and one taps, then squeeze-excitation, beside a shortcut without weights."""

    filters: int
    kernel_size: int
    group_width: int
    stride: int
    is_first: bool  # of the network: the activation of its input is the stem's
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, ceil(T / stride), filters]`; nothing follows the sum."""
        del train
        conv = functools.partial(nn.Conv, self.filters, padding="SAME", kernel_init=torch_uniform, dtype=self.dtype)
        groups = self.filters // self.group_width
        y = conv((1,), name="conv1")(x if self.is_first else nn.silu(x))
        y = conv((self.kernel_size,), self.stride, feature_group_count=groups, name="conv2")(nn.silu(y))
        y = conv((1,), name="conv3")(nn.silu(y))
        return self._excite(y) + widen(x if self.stride == 1 else pool_pairs(x), self.filters)

    def _excite(self, x: jax.Array) -> jax.Array:
        """Scales every channel by a weight that depends on the means of all."""
        dense = functools.partial(nn.Dense, kernel_init=torch_uniform, dtype=self.dtype)
        squeezed = nn.silu(dense(self.filters // 2, name="squeeze")(x.mean(axis=1)))
        return x * nn.sigmoid(dense(self.filters, name="excite")(squeezed))[:, None]


def pool_pairs(x: jax.Array) -> jax.Array:
    """Maximum of each two samples: `[B, T, C]` to `[B, ceil(T / 2), C]`; a last single sample is compared with 0."""
    return max_pool(jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, 0))), 2)


def widen(x: jax.Array, channels: int) -> jax.Array:
    """Adds channels of zeros, as many before as after, an odd one after: `[B, T, C]` to `[B, T, channels]`."""
    missing = channels - x.shape[-1]
    return jnp.pad(x, ((0, 0), (0, 0), (missing // 2, missing - missing // 2)))


class Net1d(Trunk):
    """Signals to features."""

    stem_filters: int = 64  # channels of the first convolution, which halves time
    filters: tuple[int, ...] = (64, 160, 160, 400, 400, 1024, 1024)  # channels per stage; each halves time
    blocks: tuple[int, ...] = (2, 2, 2, 3, 3, 4, 4)  # per stage
    kernel_size: int = 16  # taps of the stem and of each block's middle convolution
    group_width: int = 16  # channels of each group of the middle convolution

    def __post_init__(self) -> None:
        super().__post_init__()
        if narrow := [width for width in self.filters if width < 2]:
            raise InputError(f"ecgfounder: a stage of {narrow[0]} channels; squeeze-excitation halves them")
        widths = (self.stem_filters, *self.filters)
        if any(b % self.group_width or b < a for a, b in itertools.pairwise(widths)):
            raise InputError(
                f"ecgfounder: stages of {', '.join(map(str, self.filters))} channels after {self.stem_filters}; they "
                f"must not become fewer and must be multiples of group_width {self.group_width}"
            )

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, ceil(T / 256), filters[-1]]`, 20 times 1024 of 5000."""
        del index
        create = self.create_block(Block)
        stem = nn.Conv(
            self.stem_filters, (self.kernel_size,), _STRIDE, kernel_init=torch_uniform, dtype=self.dtype, name="stem"
        )
        x = nn.silu(stem(signal))
        for stage, (width, blocks) in enumerate(zip(self.filters, self.blocks, strict=True), start=1):
            for i in range(1, blocks + 1):
                block = create(
                    width,
                    self.kernel_size,
                    self.group_width,
                    stride=_STRIDE if i == 1 else 1,
                    is_first=stage == i == 1,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{i}",
                )
                x = block(x, train)
        return x
