"""Heads: from a trunk's features to logits, one per label."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import BatchNorm, Dense, Dropout, TorchBatchNorm

NORMALIZATIONS = ("batch", "none")


class DenseHead(nn.Module):
    """Layers 49 and 50 of the reference: flatten in time-major order, one dense layer."""

    num_labels: int  # independent outputs
    dtype: DTypeLike | None = None  # of the computation

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""
        del index, train
        flat = features.reshape(features.shape[0], -1)
        return Dense(self.num_labels, dtype=self.dtype, name="output")(flat)


class MeanHead(nn.Module):
    """The mean of every channel over time, one dense layer."""

    num_labels: int  # independent outputs
    dtype: DTypeLike | None = None  # of the computation

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""
        del index, train
        return Dense(self.num_labels, dtype=self.dtype, name="output")(features.mean(axis=1))


class TransferHead(nn.Module):
    """autoECG's addition after layer 45: convolutions, then dense layers, the last of them the output.

    autoECG publishes that there are three of each, not their widths, which are choices made here. Each layer except
    the last is followed by normalization, ReLU and dropout.
    """

    num_labels: int  # independent outputs
    conv_filters: tuple[int, ...] = (128, 128, 64)  # channels of the convolutions
    conv_kernel_sizes: tuple[int, ...] = (5, 3, 3)  # taps of the convolutions
    dense_widths: tuple[int, ...] = (128, 32)  # widths of the dense layers before the output
    dropout_rate: float = 0.2  # after each layer but the last
    normalization: str = "batch"  # `batch` or `none`
    axis_name: str | None = None  # see `layers.Trunk`
    dtype: DTypeLike | None = None  # see `layers.Trunk`

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization not in NORMALIZATIONS:
            raise InputError(f"model.head normalization is {self.normalization!r}; known: {', '.join(NORMALIZATIONS)}")
        if len(self.conv_filters) != len(self.conv_kernel_sizes):
            raise InputError(
                f"model.head has {len(self.conv_filters)} conv_filters and "
                f"{len(self.conv_kernel_sizes)} conv_kernel_sizes; they must pair up"
            )

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""

        def finish(x: jax.Array, name: str) -> jax.Array:
            if self.normalization == "batch":
                norm = BatchNorm(axis_name=self.axis_name, dtype=self.dtype, name=f"{name}_norm")
                x = norm(x, use_running_average=not train)
            return Dropout(self.dropout_rate, name=f"{name}_dropout")(nn.relu(x), index, train)

        has_bias = self.normalization == "none"
        init = nn.initializers.he_normal()
        x = features
        for i, (filters, taps) in enumerate(zip(self.conv_filters, self.conv_kernel_sizes, strict=True), start=1):
            conv = nn.Conv(filters, (taps,), use_bias=has_bias, kernel_init=init, dtype=self.dtype, name=f"conv{i}")
            x = finish(conv(x), f"conv{i}")
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.dense_widths, start=1):
            dense = Dense(width, use_bias=has_bias, dtype=self.dtype, name=f"dense{i}")
            x = finish(dense(x), f"dense{i}")
        return Dense(self.num_labels, dtype=self.dtype, name="output")(x)


class PooledHead(nn.Module):
    """The head of the PTB-XL benchmark's networks (Strodthoff et al. 2021, see `xresnet`).

    The largest and the mean value of every channel over time, then dense layers, each after
    BatchNorm and dropout; ReLU follows all but the last.
    """

    num_labels: int  # independent outputs
    dense_widths: tuple[int, ...] = (128,)  # widths of the dense layers before the output
    dropout_rate: float = 0.5  # before the output; half of it before the other dense layers
    axis_name: str | None = None  # see `layers.Trunk`
    dtype: DTypeLike | None = None  # see `layers.Trunk`

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""

        def connect(x: jax.Array, width: int, rate: float, name: str) -> jax.Array:
            norm = TorchBatchNorm(axis_name=self.axis_name, dtype=self.dtype, name=f"{name}_norm")
            x = Dropout(rate, name=f"{name}_dropout")(norm(x, use_running_average=not train), index, train)
            return Dense(width, dtype=self.dtype, name=name)(x)

        # By index, as in PyTorch: the gradient of `max` looks for values equal to the largest, and may find none where
        # a compiler recomputes the features for it with other rounding.
        largest = jnp.take_along_axis(features, features.argmax(axis=1, keepdims=True), axis=1)[:, 0]
        x = jnp.concatenate([largest, features.mean(axis=1)], axis=-1)
        for i, width in enumerate(self.dense_widths, start=1):
            x = nn.relu(connect(x, width, self.dropout_rate / 2, f"dense{i}"))
        return connect(x, self.num_labels, self.dropout_rate, "output")
