"""The network that finds waves: a U-Net over time that is applied to each lead, with the mean over leads mixed in.

All leads share the weights, and each level sees the mean of what the leads hold there: so any number of leads in any
order goes in, a wave that is flat in one lead is known from the others, and the boundaries are each lead's own. The
U-Net is that of Ronneberger et al. 2015 (arXiv:1505.04597), in one dimension and narrow enough for a CPU.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

SAMPLING_RATE = 250.0  # Hz
WIDTHS = (24, 32, 48, 64)
_PATCH = 4  # samples for each step of the finest level
MULTIPLE = _PATCH * 2 ** len(WIDTHS)  # of samples
_TRUNK = 96
_BRIGHT, _LARGE = 0.05, 0.3  # mV, where the two other channels saturate


class DelineationNetwork(nn.Module):
    """Maps `[B, L, T]` mV at `SAMPLING_RATE` to logits `[B, L, T, outputs]`; T is a multiple of `MULTIPLE`."""

    outputs: int

    @nn.compact
    def __call__(self, signal: jax.Array, recorded: jax.Array) -> jax.Array:
        """`recorded` `[B, L]` is False for leads to leave out of the mean."""
        batch, lead_count, samples = signal.shape
        share = recorded / jnp.maximum(recorded.sum(axis=1, keepdims=True), 1)

        def mean(x: jax.Array) -> jax.Array:
            return jnp.einsum("bltc,bl->btc", x.reshape(batch, lead_count, *x.shape[1:]), share)

        def spread(x: jax.Array) -> jax.Array:
            return jnp.broadcast_to(x[:, None], (batch, lead_count, *x.shape[1:])).reshape(-1, *x.shape[1:])

        def conv(x: jax.Array, width: int, taps: int, stride: int = 1) -> jax.Array:
            return nn.Conv(width, (taps,), (stride,))(x)

        def mix(x: jax.Array, taps: int) -> jax.Array:
            """A residual convolution of each lead, and one of the mean over leads."""
            return x + nn.relu(conv(x, x.shape[-1], taps) + spread(conv(mean(x), x.shape[-1], 5)))

        x = signal.reshape(batch * lead_count, samples // _PATCH, _PATCH)
        x = jnp.concatenate([x, jnp.tanh(x / _BRIGHT), jnp.tanh(x / _LARGE)], axis=-1)
        x = nn.relu(conv(x, WIDTHS[0], 4))
        x = x + spread(nn.relu(conv(mean(x), WIDTHS[0], 5)))
        skips = [x]
        for width in WIDTHS[1:]:
            x = mix(nn.relu(conv(x, width, 4, 2)), 3)
            skips.append(x)
        x = x + spread(_Trunk()(mean(x)))
        for skip in skips[-2::-1]:
            x = mix(skip + jnp.repeat(conv(x, skip.shape[-1], 1), 2, axis=1), 5)
        x = nn.Conv(_PATCH * self.outputs, (3,), kernel_init=nn.initializers.zeros, name="head")(x)
        return x.reshape(batch, lead_count, samples, self.outputs)


def apply(params: Any, signal: jax.Array, recorded: jax.Array) -> jax.Array:
    """Logits of a network with these parameters; see `DelineationNetwork`."""
    outputs = params["head"]["bias"].shape[0] // _PATCH
    logits = DelineationNetwork(outputs).apply({"params": params}, signal, recorded)
    assert isinstance(logits, jax.Array)
    return logits


class _Trunk(nn.Module):
    """Looks at the mean over leads for some seconds, `[B, T, C]` to `[B, T, C]`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        coarse = nn.relu(nn.Conv(_TRUNK, (4,), (2,))(x))
        for dilation in (1, 2, 4):
            coarse = coarse + nn.relu(nn.Conv(_TRUNK, (5,), kernel_dilation=(dilation,))(coarse))
        fine = jnp.concatenate([x, jnp.repeat(nn.Conv(width, (1,))(coarse), 2, axis=1)], axis=-1)
        return nn.relu(nn.Conv(width, (5,))(fine))
