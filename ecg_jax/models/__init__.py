"""Pure Flax Linen modules: the reference network's trunk, its heads, and Keras' weights for them."""

from ecg_jax.models.network import HEADS, TRUNKS, Network, count_weights, create, init, shapes

__all__ = ["HEADS", "TRUNKS", "Network", "count_weights", "create", "init", "shapes"]
