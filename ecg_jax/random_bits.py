"""Random bits by the million, for masks and noise: an integer hash in place of JAX's own generator."""

import math

import jax
import jax.numpy as jnp


def mix(x: jax.Array) -> jax.Array:
    """A bijection of 32 bits in which every bit of `x` reaches every bit of the result.

    Eight operations where JAX's own generator takes about a hundred. Constants: `lowbias32` of
    Wellons' search for hash functions (https://github.com/skeeto/hash-prospector).

    Args:
        x: uint32, of any shape.
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = (x ^ (x >> 15)) * jnp.uint32(0x735A2D97)
    return x ^ (x >> 15)


def draw_bits(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """uint32 of a shape, from a seed: uint32, a scalar or what broadcasts against the shape."""
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape) * jnp.uint32(0x9E3779B9)
    return mix(seed ^ place)
