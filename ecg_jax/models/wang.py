"""The small residual network of the PTB-XL benchmark, there `resnet1d_wang`, as a trunk.

Wang et al. 2017 (IJCNN, "Time series classification from scratch with deep neural networks")
in the form of Strodthoff et al. 2021 (IEEE JBHI 25:1519; helme/ecg_ptbxl_benchmarking,
code/models/resnet1d.py): two convolutions a block instead of three, strides, 128 channels throughout.
"""

import functools

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from ecg_jax.models.layers import ConvNorm, Trunk


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution of one tap where the shape changes."""

    filters: int
    kernel_sizes: tuple[int, int]
    stride: int
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, ceil(T / stride), filters]`."""
        conv = functools.partial(ConvNorm, self.filters, axis_name=self.axis_name, dtype=self.dtype)
        first, second = self.kernel_sizes
        y = nn.relu(conv(first, self.stride, name="conv1")(x, train))
        y = conv(second, name="conv2")(y, train)
        if self.stride != 1 or x.shape[-1] != self.filters:
            x = conv(1, self.stride, name="shortcut")(x, train)
        return nn.relu(x + y)


class WangResNet1d(Trunk):
    """A convolution and a few residual blocks: signals to features."""

    filters: int = 128  # channels of every convolution
    first_kernel_size: int = 7  # taps of the first convolution
    kernel_sizes: tuple[int, int] = (5, 3)  # taps of a block's two convolutions
    strides: tuple[int, ...] = (1, 2, 2)  # one per block

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, ceil(T / 4), filters]`."""
        del index
        create = self.create_block(BasicBlock)
        first = ConvNorm(self.filters, self.first_kernel_size, axis_name=self.axis_name, dtype=self.dtype, name="first")
        x = nn.relu(first(signal, train))
        for i, stride in enumerate(self.strides, start=1):
            block = create(self.filters, self.kernel_sizes, stride, self.axis_name, self.dtype, name=f"block{i}")
            x = block(x, train)
        return x
