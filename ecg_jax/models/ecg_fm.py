"""ECG-FM as a trunk and a head.

McKeen et al. 2024 (arXiv:2408.05178, "ECG-FM: An Open Electrocardiogram Foundation Model"; bowang-lab/ECG-FM, with the
network in Jwoo5/fairseq-signals): the encoder of wav2vec 2.0 (Baevski et al. 2020, NeurIPS) on 12 leads. Convolutions
shorten time to a sixteenth, a long convolution adds positions, and transformer layers follow, each normalized after its
sums.

Weights start as there: He's normal distribution for the convolutions, a standard deviation of 0.02 inside the
transformer layers, Xavier's uniform distribution for the output, PyTorch's default for the projection. Dropout is that
of fairseq-signals' fine-tuning: inside the layers' second half alone.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import Dropout, Trunk, torch_uniform

# The variance of a signal far from zero is lost in float32 when it is computed from the mean of squares.
LayerNorm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)
InstanceNorm = functools.partial(nn.InstanceNorm, epsilon=1e-5, use_fast_variance=False)
gelu = functools.partial(nn.gelu, approximate=False)


class EncoderLayer(nn.Module):
    """Self-attention and two dense layers, each added to its input and normalized after that."""

    heads: int
    hidden: int
    dropout_rate: float
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, frames: jax.Array | None, index: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, C]` to `[B, T, C]`; attends to the first `frames` `[B]` of each, to all if None."""
        dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=nn.initializers.normal(0.02))
        width = x.shape[-1]
        split = (*x.shape[:2], self.heads, width // self.heads)
        query, key, value = (dense(width, name=name)(x).reshape(split) for name in ("query", "key", "value"))
        attended = jax.nn.dot_product_attention(query, key, value, key_value_seq_lengths=frames)
        x = x + dense(width, name="attention")(attended.reshape(x.shape))
        x = LayerNorm(dtype=self.dtype, name="attention_norm")(x)
        y = gelu(dense(self.hidden, name="dense1")(x))
        y = Dropout(self.dropout_rate, name="dropout")(y, index, train)
        return LayerNorm(dtype=self.dtype, name="norm")(x + dense(width, name="dense2")(y))


class EcgFm(Trunk):
    """Signals to features."""

    conv_filters: tuple[int, ...] = (256, 256, 256, 256)  # channels of the convolutions, each of which halves time
    width: int = 768  # channels of the transformer
    layers: int = 12  # of the transformer
    heads: int = 12  # of the attention; they share the width
    hidden: int = 3072  # channels between the two dense layers of a transformer layer
    position_taps: int = 128  # of the convolution that adds positions
    position_groups: int = 16  # of its channels
    dropout_rate: float = 0.1  # between the two dense layers

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool, lengths: jax.Array | None = None) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T // 16, width]`, T halved by each convolution.

        Args:
            signal: Each lead of zero mean and unit variance over the whole recording.
            index: `[B]` int, see `Network`.
            train: Use dropout.
            lengths: `[B]` int, samples of each recording before its padding; None for T. Frames of padding are not
                attended to, and zero in the result. The convolutions and their norm see the padding nevertheless.

        Raises:
            InputError: on a signal too short for one frame.
        """
        shortening = 2 ** len(self.conv_filters)
        if signal.shape[1] < shortening:
            raise InputError(f"ecg_fm needs at least {shortening} samples; contract has {signal.shape[1]}")
        frames = None if lengths is None else lengths // shortening
        x = LayerNorm(dtype=self.dtype, name="features_norm")(self._extract(signal))
        x = nn.Dense(self.width, kernel_init=torch_uniform, dtype=self.dtype, name="projection")(x)
        x = _clear(x + self._embed_positions(x), frames)
        x = LayerNorm(dtype=self.dtype, name="norm")(x)
        create = self.create_block(EncoderLayer, train=4)
        for i in range(1, self.layers + 1):
            layer = create(self.heads, self.hidden, self.dropout_rate, self.dtype, name=f"layer{i}")
            x = layer(x, frames, index, train)
        return _clear(x, frames)

    def _extract(self, x: jax.Array) -> jax.Array:
        """Convolutions without overlap; after the first, every channel is normalized over time."""
        for i, filters in enumerate(self.conv_filters, start=1):
            conv = nn.Conv(
                filters,
                (2,),
                2,
                padding="VALID",
                use_bias=False,
                kernel_init=nn.initializers.he_normal(),
                dtype=self.dtype,
                name=f"conv{i}",
            )
            x = conv(x)
            if i == 1:
                x = InstanceNorm(dtype=self.dtype, name="conv1_norm")(x)
            x = gelu(x)
        return x

    def _embed_positions(self, x: jax.Array) -> jax.Array:
        """A grouped convolution; an even number of taps looks one sample further back than ahead."""
        taps = self.position_taps
        conv = nn.Conv(
            self.width,
            (taps,),
            padding=((taps // 2, (taps - 1) // 2),),
            feature_group_count=self.position_groups,
            kernel_init=nn.initializers.normal((4 / (taps * self.width)) ** 0.5),
            dtype=self.dtype,
            name="position",
        )
        return gelu(conv(x))


def _clear(x: jax.Array, frames: jax.Array | None) -> jax.Array:
    """Zeros after the first `frames` `[B]` of `x` `[B, T, C]`; as it is if None."""
    if frames is None:
        return x
    is_kept = jnp.arange(x.shape[1]) < frames[:, None]
    return jnp.where(is_kept[..., None], x, 0)


class EcgFmHead(nn.Module):
    """The mean over time of what is not zero, and one dense layer."""

    num_labels: int  # independent outputs
    dtype: DTypeLike | None = None  # of the computation

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""
        del index, train
        count = jnp.count_nonzero(features, axis=1)
        pooled = features.sum(axis=1) / jnp.maximum(count, 1).astype(features.dtype)
        output = nn.Dense(
            self.num_labels, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype, name="output"
        )
        return output(pooled)
