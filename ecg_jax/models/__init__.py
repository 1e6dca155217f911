"""Pure Flax Linen modules: the reference network and those it is compared with, and Keras' weights for the first."""

from ecg_jax.models.comparison import COMPARISONS
from ecg_jax.models.network import AS_PUBLISHED, HEADS, TRUNKS, Network, count_weights, create, init, shapes

__all__ = ["AS_PUBLISHED", "COMPARISONS", "HEADS", "TRUNKS", "Network", "count_weights", "create", "init", "shapes"]
