"""Losses on logits that know about unknown labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ecg_jax.config import check_values
from ecg_jax.errors import InputError

LossFn = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def create(
    *, num_labels: int, positive_weight: tuple[float, ...] = (), focal_gamma: float = 0.0, label_smoothing: float = 0.0
) -> LossFn:
    """Builds a masked binary cross entropy.

    Args:
        num_labels: Outputs of the network.
        positive_weight: Weight of a present label against 1 for an absent one, and in between
            for what mixup makes of them: one number for all labels, one per label, or none.
        focal_gamma: Focusing parameter of the focal loss (Lin et al. 2017,
            arXiv:1708.02002); 0 is plain cross entropy.
        label_smoothing: Moves targets this far towards 1/2.

    Returns:
        `(logits [B, C], label [B, C]) -> (sum, count)` over the known (not NaN) labels.
        They stay apart so that devices can add both up before dividing.

    Raises:
        InputError: on a value that its key does not take (`config.KEYS`), or another number of weights.
    """
    check_values("loss", positive_weight=positive_weight, focal_gamma=focal_gamma, label_smoothing=label_smoothing)
    if len(positive_weight) not in (0, 1, num_labels):
        raise InputError(f"loss.positive_weight is {positive_weight}; expected 0, 1 or {num_labels} numbers")
    weights = positive_weight or (1.0,)

    def loss_fn(logits: jax.Array, label: jax.Array) -> tuple[jax.Array, jax.Array]:
        known = ~jnp.isnan(label)
        truth = jnp.where(known, label, 0)
        target = truth * (1 - label_smoothing) + label_smoothing / 2
        loss = optax.sigmoid_binary_cross_entropy(logits, target)
        if focal_gamma:
            log_error = jax.nn.log_sigmoid(jnp.where(truth > 0.5, -logits, logits))
            loss = loss * jnp.exp(focal_gamma * log_error)
        loss = loss * (1 + truth * (jnp.asarray(weights, loss.dtype) - 1))
        return jnp.sum(jnp.where(known, loss, 0)), jnp.sum(known).astype(loss.dtype)

    return loss_fn
