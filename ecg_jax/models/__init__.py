"""Pure Flax Linen modules: the reference network and those it is compared with, and Keras' weights for the first."""

from ecg_jax.models.comparison import COMPARISONS
from ecg_jax.models.network import HEADS, TRUNKS, Network, count_weights, create, init, shapes

__all__ = ["COMPARISONS", "HEADS", "TRUNKS", "Network", "count_weights", "create", "init", "shapes"]
