"""Pure Flax Linen modules: the reference network and published networks to compare it with; imported weights."""

from ecg_jax.models.benchmarks import COMPARISONS
from ecg_jax.models.features import list_modules
from ecg_jax.models.network import AS_PUBLISHED, HEADS, TRUNKS, Network, count_weights, create, init, shapes

__all__ = [
    "AS_PUBLISHED",
    "COMPARISONS",
    "HEADS",
    "TRUNKS",
    "Network",
    "count_weights",
    "create",
    "init",
    "list_modules",
    "shapes",
]
