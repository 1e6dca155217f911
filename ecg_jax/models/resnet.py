"""The residual 1-D CNN of Ribeiro et al. 2020 (Nat Commun 11:1760) as a pure Flax trunk.

Numbers, as in `cut`, are Keras' own layer numbers from 1: see `keras_layers`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from ecg_jax.models.convolution import Conv
from ecg_jax.models.layers import BatchNorm, Dropout, Trunk, max_pool

_STEM_LAYERS = 4  # input, convolution, BatchNorm, ReLU
_UNIT_LAYERS = 11


class Stem(nn.Module):
    """Layers 2 to 4: convolution, BatchNorm, ReLU."""

    filters: int
    kernel_size: int
    convolution: str
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, leads]` to `[B, T, filters]`."""
        norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name="norm")
        x = Conv(self.filters, self.kernel_size, 1, self.convolution, self.dtype, name="conv")(x)
        self.sow("keras_layers", "2", x)
        x = norm(x, use_running_average=not train)
        self.sow("keras_layers", "3", x)
        x = nn.relu(x)
        self.sow("keras_layers", "4", x)
        return x


class ResidualUnit(nn.Module):
    """One residual unit, 11 Keras layers, of which the eighth is the addition.

    The shortcut carries the sum from before BatchNorm and ReLU; the main path carries
    what comes after them.
    """

    filters: int
    stride: int
    kernel_size: int
    dropout_rate: float
    first_layer: int  # Keras' number of the unit's first layer
    sum_only: bool  # stop at the addition
    convolution: str
    axis_name: str | None
    dtype: DTypeLike | None
    # As published; otherwise, as in He et al. 2016 (CVPR, "Deep residual learning"), BatchNorm comes before the
    # addition and ReLU after it, and the shortcut carries the result of both paths.
    preactivation: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, shortcut: jax.Array, index: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Maps `x`, `shortcut` `[B, T, C]` to the same two `[B, T / stride, filters]`."""

        def tap(offset: int, value: jax.Array) -> jax.Array:
            self.sow("keras_layers", str(self.first_layer + offset), value)
            return value

        conv = functools.partial(Conv, self.filters, method=self.convolution, dtype=self.dtype)
        norm = functools.partial(BatchNorm, axis_name=self.axis_name, dtype=self.dtype)
        x = tap(0, conv(self.kernel_size, name="conv1")(x))
        x = tap(1, norm(name="norm1")(x, use_running_average=not train))
        x = tap(2, nn.relu(x))
        x = tap(3, Dropout(self.dropout_rate, name="dropout1")(x, index, train))
        shortcut = tap(4, max_pool(shortcut, self.stride))
        x = tap(5, conv(self.kernel_size, self.stride, name="conv2")(x))
        shortcut = tap(6, conv(1, name="shortcut")(shortcut))
        if not self.preactivation:
            x = nn.relu(norm(name="norm2")(x, use_running_average=not train) + shortcut)
            x = Dropout(self.dropout_rate, name="dropout2")(x, index, train)
            return x, x
        shortcut = tap(7, x + shortcut)
        if self.sum_only:
            return shortcut, shortcut
        x = tap(8, norm(name="norm2")(shortcut, use_running_average=not train))
        x = tap(9, nn.relu(x))
        x = tap(10, Dropout(self.dropout_rate, name="dropout2")(x, index, train))
        return x, shortcut


class ResNet1d(Trunk):
    """The network without its last two layers: signals to features."""

    stem_filters: int = 64  # channels after the stem
    filters: tuple[int, ...] = (128, 196, 256, 320)  # channels after each residual unit
    kernel_size: int = 16  # taps of every convolution but the shortcuts'
    stride: int | tuple[int, ...] = 4  # each unit shortens time by this factor, or by its own of several
    dropout_rate: float = 0.2  # of the dropouts in the units
    # Keras' number of the layer whose output is returned. In a network of four units: 12, 23, 34, 45 (the sums) or 48
    # (all of it).
    cut: int = 48
    convolution: str = "auto"  # one of `convolution.METHODS`
    preactivation: bool = True  # see `ResidualUnit`

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T', channels]`.

        Args:
            signal: In the unit of the input contract.
            index: `[B]` int, tells examples apart where dropout draws masks.
            train: Use batch statistics and dropout.
        """
        shared: dict[str, Any] = {
            "kernel_size": self.kernel_size,
            "convolution": self.convolution,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        x = shortcut = Stem(self.stem_filters, **shared, name="stem")(signal, train)
        create = self.create_block(ResidualUnit, train=4)
        strides = (self.stride,) * len(self.filters) if isinstance(self.stride, int) else self.stride
        for unit, (filters, stride) in enumerate(zip(self.filters, strides, strict=True)):
            first = _STEM_LAYERS + 1 + unit * _UNIT_LAYERS
            is_cut = self.cut == first + 7
            x, shortcut = create(
                filters=filters,
                stride=stride,
                dropout_rate=self.dropout_rate,
                first_layer=first,
                sum_only=is_cut,
                preactivation=self.preactivation,
                **shared,
                name=f"unit{unit + 1}",
            )(x, shortcut, index, train)
            if is_cut:
                return x
        return x
