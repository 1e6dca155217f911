"""The PTB-XL benchmark's `xresnet1d` networks as a trunk.

Strodthoff et al. 2021 (IEEE JBHI 25:1519, "Deep Learning for ECG Analysis: Benchmarks and Insights
from PTB-XL"; helme/ecg_ptbxl_benchmarking, code/models/xresnet1d.py): residual networks with the
changes of He et al. 2019 (CVPR, "Bag of Tricks for Image Classification": three convolutions as
stem, the stride in a bottleneck's middle convolution, average pooling in shortcuts, the last
BatchNorm of a block from zero) on one dimension. Unlike in networks for images, all four stages
are equally wide.

Weights start as that definition has them; the benchmark's own training then sets the scale of
every BatchNorm to one.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from ecg_jax.models.layers import ConvNorm, Trunk


class Bottleneck(nn.Module):
    """Convolutions of one, `kernel_size` and one taps beside a shortcut."""

    filters: int
    expansion: int
    kernel_size: int
    stride: int
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, ceil(T / stride), filters * expansion]`."""
        conv = functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        width = self.filters * self.expansion
        y = nn.relu(conv(self.filters, 1, name="conv1")(x, train))
        y = nn.relu(conv(self.filters, self.kernel_size, self.stride, name="conv2")(y, train))
        y = conv(width, 1, is_zero=True, name="conv3")(y, train)
        if self.stride != 1:
            x = average_pool(x, self.stride)
        if x.shape[-1] != width:
            x = conv(width, 1, name="shortcut")(x, train)
        return nn.relu(x + y)


def average_pool(x: jax.Array, window: int) -> jax.Array:
    """Means of windows of samples, the last possibly shorter: `[B, ceil(T / window), C]`."""
    padding = (0, -x.shape[1] % window)
    means = nn.avg_pool(x, (window,), (window,), padding=(padding,), count_include_pad=False)
    return means.astype(x.dtype)  # Linen counts in float32


class XResNet1d(Trunk):
    """Signals to features."""

    stages: tuple[int, ...] = (3, 4, 6, 3)  # blocks per stage; each stage but the first halves time
    stem_filters: tuple[int, ...] = (32, 32, 64)  # channels of the stem's convolutions, the first of which halves time
    filters: int = 64  # channels inside every block
    expansion: int = 4  # channels after a block, over those inside
    kernel_size: int = 5  # taps of the stem's convolutions and of each block's middle one

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, ceil(T / 32), filters * expansion]`."""
        del index
        create = self.create_block(Bottleneck)
        shared: dict[str, Any] = {"axis_name": self.axis_name, "dtype": self.dtype}
        x = signal
        for i, width in enumerate(self.stem_filters, start=1):
            conv = ConvNorm(width, self.kernel_size, 2 if i == 1 else 1, **shared, name=f"stem{i}")
            x = nn.relu(conv(x, train))
        x = nn.max_pool(x, (3,), (2,), padding=((1, 1),))
        for stage, blocks in enumerate(self.stages, start=1):
            for i in range(1, blocks + 1):
                stride = 2 if stage > 1 and i == 1 else 1
                block = create(
                    self.filters, self.expansion, self.kernel_size, stride, **shared, name=f"stage{stage}_block{i}"
                )
                x = block(x, train)
        return x
