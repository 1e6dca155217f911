"""Losses on logits that know about unknown labels."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ecg_jax.config import check_values
from ecg_jax.errors import InputError
from ecg_jax.kinds import FINDING, LOSSES, NUMBER
from ecg_jax.models.outputs import Scale

LossFn = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


_ERRORS: dict[str, Callable[[jax.Array, float], jax.Array]] = {  # of an error and `huber_delta`
    "mse": lambda error, _: jnp.square(error),
    "mae": lambda error, _: jnp.abs(error),
    "huber": lambda error, delta: optax.huber_loss(error, delta=delta),
}


def create(
    *,
    num_labels: int,
    scale: Scale | None = None,
    name: str = "auto",
    huber_delta: float = 1.0,
    positive_weight: tuple[float, ...] = (),
    focal_gamma: float = 0.0,
    label_smoothing: float = 0.0,
) -> LossFn:
    """Builds a masked loss: of findings a binary cross entropy, of numbers a function of the error.

    Args:
        num_labels: Outputs of the network.
        scale: Of the outputs, where labels are numbers; None for findings.
        name: One of `kinds.LOSSES` of the kind of labels; `auto` for the first.
        huber_delta: Error, in standard deviations, from which `huber` is linear instead of quadratic.
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
    check_values(
        "loss",
        name=name,
        huber_delta=huber_delta,
        positive_weight=positive_weight,
        focal_gamma=focal_gamma,
        label_smoothing=label_smoothing,
    )
    known_names = LOSSES[FINDING if scale is None else NUMBER]
    name = known_names[0] if name == "auto" else name
    if name not in known_names:
        raise InputError(f"loss.name is {name!r}; of such labels it is one of {', '.join(known_names)}")
    if scale is not None:
        return functools.partial(_compute_number_loss, scale, lambda error: _ERRORS[name](error, huber_delta))
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


def _compute_number_loss(
    scale: Scale, measure: Callable[[jax.Array], jax.Array], logits: jax.Array, label: jax.Array
) -> tuple[jax.Array, jax.Array]:
    known = ~jnp.isnan(label)
    error = logits - scale.standardize(jnp.where(known, label, 0)).astype(logits.dtype)
    return jnp.sum(jnp.where(known, measure(error), 0)), jnp.sum(known).astype(logits.dtype)
