"""Random numbers for many small decisions, drawn at once."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

_EDGE = 1e-6  # normal draws end 4.75 standard deviations out


class Draws:
    """Returns parts of one block of random numbers, in the order in which they are requested.

    One call of the random number generator, and of the normal distribution's inverse, serves a whole recording:
    compiling one for each of some thousand numbers takes longer than everything else. A draw depends on the key and on
    the earlier draws from the same part.
    """

    def __init__(self, numbers: jax.Array) -> None:
        """Takes `[2, size]`: uniform numbers, and the normal ones of the same probabilities; see `create`."""
        self._numbers = numbers
        self._taken = 0

    @classmethod
    def create(cls, key: jax.Array, size: int) -> "Draws":
        """Draws `size` numbers; requesting more raises `IndexError` while the simulator is traced."""
        uniform = jax.random.uniform(key, (size,), minval=_EDGE, maxval=1 - _EDGE)
        return cls(jnp.stack([uniform, jax.scipy.special.ndtri(uniform)]))

    def part(self, size: int) -> "Draws":
        """The next `size` numbers, so that the draws of one module do not change those of the others."""
        return Draws(self._take(size))

    def _take(self, count: int | None) -> jax.Array:
        first, self._taken = self._taken, self._taken + (1 if count is None else count)
        if self._taken > self._numbers.shape[1]:
            raise IndexError(f"{self._taken} numbers were requested, {self._numbers.shape[1]} drawn")
        return self._numbers[:, first] if count is None else self._numbers[:, first : self._taken]

    def uniform(
        self, low: float | jax.Array = 0.0, high: float | jax.Array = 1.0, count: int | None = None
    ) -> jax.Array:
        """Uniform on [low, high); `[count]`, or a scalar without a count."""
        return low + (high - low) * self._take(count)[0]

    def normal(self, mean: float | jax.Array = 0.0, sd: float | jax.Array = 1.0, count: int | None = None) -> jax.Array:
        """Normal, cut off 4.75 standard deviations out."""
        return mean + sd * self._take(count)[1]

    def lognormal(self, median: float | jax.Array, sigma: float | jax.Array, count: int | None = None) -> jax.Array:
        """`median` times the exponential of a normal with standard deviation `sigma`."""
        return median * jnp.exp(self.normal(0.0, sigma, count))

    def flip(self, probability: float | jax.Array, count: int | None = None) -> jax.Array:
        """True with this probability."""
        return self.uniform(count=count) < probability

    def choose(self, weights: Sequence[float] | jax.Array) -> jax.Array:
        """An index, each in proportion to its weight."""
        bounds = jnp.cumsum(jnp.asarray(weights, jnp.float32))
        return jnp.sum(self.uniform() * bounds[-1] >= bounds[:-1])

    def rotation(self, angle: float | jax.Array) -> jax.Array:
        """`[3, 3]`: about a random axis, by a normal angle with this standard deviation (Rodrigues' formula)."""
        axis = self.normal(count=3)
        x, y, z = axis / (jnp.linalg.norm(axis) + 1e-9)
        cross = jnp.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        turn = self.normal(0.0, angle)
        return jnp.eye(3) + jnp.sin(turn) * cross + (1 - jnp.cos(turn)) * cross @ cross
