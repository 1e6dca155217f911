"""The two layers that differ from Linen's own: Keras' BatchNormalization and a reproducible dropout."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

# Keras' defaults, which the published weights were trained with.
BatchNorm = functools.partial(nn.BatchNorm, epsilon=1e-3, momentum=0.99)


class Dropout(nn.Module):
    """Dropout whose mask depends on each example's `index`, not on its place on a device.

    So one global batch gets one set of masks, however many devices share it.

    Attributes:
        rate: Fraction that is dropped, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, index: jax.Array, train: bool) -> jax.Array:
        """Drops features of `x` `[B, ...]` and scales the rest up; `index` is `[B]` int."""
        if not train or self.rate == 0:
            return x
        root = self.make_rng("dropout")
        bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(root, i), x.shape[1:], jnp.uint16))(index)
        return jnp.where(bits >= round(self.rate * 2**16), x / (1 - self.rate), 0)
