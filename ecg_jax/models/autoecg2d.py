"""autoECG's 2-D network, trunk and head: the ECG as an image of one channel, samples by leads.

Published is its description (yuge97/autoECG, folder 2D_CNN), not its code. Where its text and its
figure differ (one tap or three in the first convolution of blocks 2 to 8), the text is followed;
biases and BatchNorm, which it does not state, are PyTorch's defaults. It was given 2500 samples
of twelve leads, z-scored.
"""

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from ecg_jax.errors import InputError
from ecg_jax.models.layers import Dense, Dropout, TorchBatchNorm, Trunk

_WINDOW = 3  # samples, of the pooling


class Block(nn.Module):
    """Two convolutions, each followed by ReLU and BatchNorm; the first spans `kernel_size`, the second one sample."""

    filters: int
    kernel_size: tuple[int, int]
    axis_name: str | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Maps `[B, T, leads, C]` to `[B, T - kernel_size[0] + 1, leads - kernel_size[1] + 1, filters]`."""
        for i, kernel_size in enumerate((self.kernel_size, (1, 1)), start=1):
            init = nn.initializers.he_normal()
            conv = nn.Conv(
                self.filters, kernel_size, padding="VALID", kernel_init=init, dtype=self.dtype, name=f"conv{i}"
            )
            norm = TorchBatchNorm(axis_name=self.axis_name, dtype=self.dtype, name=f"norm{i}")
            x = norm(nn.relu(conv(x)), use_running_average=not train)
        return x


class AutoEcg2d(Trunk):
    """Signals to features."""

    filters: int = 64  # channels of every convolution
    kernel_size: tuple[int, int] = (12, 3)  # of the first convolution, samples and leads
    blocks: int = 8  # pairs of convolutions
    pooled: tuple[int, ...] = (1, 3, 5, 7)  # numbers of the blocks after which time is pooled

    @nn.compact
    def __call__(self, signal: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps `signal` `[B, T, leads]` to features `[B, T', leads' * filters]`, 30 times 640 of 2500 and 12.

        Raises:
            InputError: when nothing would be left of the samples or of the leads.
        """
        del index
        samples, leads = signal.shape[1:]
        needed = self.kernel_size[0] - 1 + _WINDOW ** len(self.pooled)
        if samples < needed or leads < self.kernel_size[1]:
            raise InputError(
                f"autoecg_2d needs at least {needed} samples of {self.kernel_size[1]} leads (it was made for 2500 of "
                f"12); contract has {samples} of {leads}"
            )
        create = self.create_block(Block)
        x = signal[..., None]
        for i in range(1, self.blocks + 1):
            kernel_size = self.kernel_size if i == 1 else (1, 1)
            x = create(self.filters, kernel_size, self.axis_name, self.dtype, name=f"block{i}")(x, train)
            if i in self.pooled:  # Linen's pooling, which drops what is left at the end as PyTorch's does
                x = nn.max_pool(x, (_WINDOW, 1), (_WINDOW, 1))
        return x.reshape(*x.shape[:2], -1)


class AutoEcg2dHead(nn.Module):
    """Flatten, then dense layers with dropout before all but the last of them, and ReLU after those."""

    num_labels: int  # independent outputs; autoECG has one
    widths: tuple[int, ...] = (4096, 512, 32, 8)  # of the dense layers before the output
    dropout_rates: tuple[float, ...] = (0.5, 0.5, 0.5, 0.2)  # before each of these
    dtype: DTypeLike | None = None  # of the computation

    @nn.compact
    def __call__(self, features: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Maps features `[B, T, C]` to logits `[B, num_labels]`."""
        x = features.reshape(features.shape[0], -1)
        for i, (width, rate) in enumerate(zip(self.widths, self.dropout_rates, strict=True), start=1):
            x = Dropout(rate, name=f"dropout{i}")(x, index, train)
            x = nn.relu(Dense(width, dtype=self.dtype, name=f"dense{i}")(x))
        return Dense(self.num_labels, dtype=self.dtype, name="output")(x)
