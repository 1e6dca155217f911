"""The network that estimates the age from an ECG as a trunk.

Lima et al. 2021 (Nat Commun 12:5117, "Deep neural network-estimated electrocardiographic age as a mortality predictor";
antonior92/ecg-age-prediction, resnet.py): the residual network of Ribeiro et al. 2020 with an odd kernel, one block
more, no rectification after the stem and PyTorch's padding, which shifts strided outputs by a sample against
TensorFlow's. Published for 4096 samples of 12 leads at 400 Hz; its one output is the age in years.

Kernels start as PyTorch's do.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import Dropout, TorchBatchNorm, Trunk, max_pool, torch_uniform


class Block(nn.Module):
    """Two convolutions of the rectified signal; the shortcut adds and passes on sums that are not normalized."""

    filters: int
    kernel_size: int
    stride: int
    dropout_rate: float
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array, index: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Maps `x` (rectified) and `y` (sums), `[B, T, C]`, to both of `[B, T / stride, filters]`.

        Raises:
            InputError: when nothing, or not as many samples as the convolutions leave, remain after pooling.
        """
        conv = functools.partial(nn.Conv, self.filters, use_bias=False, kernel_init=torch_uniform, dtype=self.dtype)
        norm = functools.partial(TorchBatchNorm, axis_name=self.axis_name, dtype=self.dtype)

        def rectify(x: jax.Array, i: int) -> jax.Array:
            x = nn.relu(norm(name=f"norm{i}")(x, use_running_average=not train))
            return Dropout(self.dropout_rate, name=f"dropout{i}")(x, index, train)

        samples = x.shape[1]
        x = rectify(conv((self.kernel_size,), padding=self.kernel_size // 2, name="conv1")(x), 1)
        padding = (self.kernel_size - self.stride + 1) // 2  # the same on either side
        x = conv((self.kernel_size,), self.stride, padding=padding, name="conv2")(x)
        left = samples // self.stride
        if not 0 < left == x.shape[1]:
            raise InputError(
                f"ecg_age pools {samples} samples by {self.stride} and its convolution leaves {x.shape[1]}, which must "
                "be as many; give it a length as the published 4096 (contract.samples)"
            )
        if self.stride > 1:
            y = max_pool(y[:, : left * self.stride], self.stride)
        if y.shape[-1] != self.filters:
            y = conv((1,), name="shortcut")(y)
        y += x
        return rectify(y, 2), y


class AgeResNet1d(Trunk):
    """Signals to features."""

    filters: tuple[int, ...] = (64, 128, 196, 256, 320)  # channels of the blocks; the stem's are the first
    strides: tuple[int, ...] = (1, 4, 4, 4, 4)  # of the blocks
    kernel_size: int = 17  # taps, an odd number
    dropout_rate: float = 0.8  # after every rectification

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T / 256, filters[-1]]`, 16 times 320 of 4096.

        Raises:
            InputError: on a length that cannot be pooled, see `Block`.
        """
        create = self.create_block(Block, train=4)
        shared: dict[str, Any] = {"axis_name": self.axis_name, "dtype": self.dtype}
        width, taps = self.filters[0], self.kernel_size
        stem = nn.Conv(
            width, (taps,), padding=taps // 2, use_bias=False, kernel_init=torch_uniform, dtype=self.dtype, name="stem"
        )
        x = TorchBatchNorm(**shared, name="norm")(stem(signal), use_running_average=not train)
        y = x
        for i, (width, stride) in enumerate(zip(self.filters, self.strides, strict=True), start=1):
            block = create(width, taps, stride, self.dropout_rate, **shared, name=f"block{i}")
            x, y = block(x, y, index, train)
        return x
