"""Optimizers and schedules, through optax, with frozen leaves masked out."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ecg_jax.config import check_values
from ecg_jax.errors import InputError
from ecg_jax.training import transfer


def scale_learning_rate(learning_rate: float, batch_scaling: str, *, batch_size: int, base_batch_size: int) -> float:
    """Scales a learning rate that was chosen for another batch size.

    Args:
        learning_rate: Chosen for `base_batch_size`.
        batch_scaling: `none`, `linear` (Goyal et al. 2017, arXiv:1706.02677, for SGD; with warm-up) or
            `sqrt` (Malladi et al. 2022, arXiv:2205.10287, for adaptive optimizers).
        batch_size: Of the run, over all devices.
        base_batch_size: That the rate was chosen for.
    """
    check_values("schedule", batch_scaling=batch_scaling, base_batch_size=base_batch_size)
    ratio = batch_size / base_batch_size
    return learning_rate * {"none": 1.0, "linear": ratio, "sqrt": ratio**0.5}[batch_scaling]


def create_schedule(
    name: str, *, learning_rate: float, steps: int, warmup_fraction: float = 0.0, final_fraction: float = 0.0
) -> optax.Schedule:
    """Builds a learning-rate schedule, a function of the step.

    Args:
        name: `constant`, `cosine`, `one_cycle` (Smith & Topin 2018, arXiv:1708.07120), or
            `plateau`: constant here, scaled down by the training loop at evaluations.
        learning_rate: Its peak.
        steps: Length of the run.
        warmup_fraction: Part of the run that rises linearly from 0 (for `one_cycle`, the part before the peak).
        final_fraction: Of the peak, where `cosine` ends.

    Raises:
        InputError: on a value that its key does not take.
    """
    check_values("schedule", name=name, warmup_fraction=warmup_fraction, final_fraction=final_fraction)
    check_values("optimizer", learning_rate=learning_rate)
    warmup = round(warmup_fraction * steps)
    if name == "one_cycle":
        return optax.cosine_onecycle_schedule(steps, learning_rate, max(warmup_fraction, 1 / steps))
    if name == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, max(steps - warmup, 1), final_fraction)
    else:
        after = optax.constant_schedule(learning_rate)
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup), after], [warmup])


def create(
    name: str,
    *,
    learning_rate: optax.Schedule,
    trainable: Any,
    weight_decay: float = 0.0,
    momentum: float = 0.9,
    b1: float = 0.9,
    b2: float = 0.999,
    clip_norm: float = 0.0,
    layer_decay: float = 1.0,
    unfreeze_every: int = 0,
    modules: Iterable[str] = (),
) -> optax.GradientTransformation:
    """Builds an optimizer that has no state for frozen leaves and no update either.

    Args:
        name: `adam`, `adamw`, `sgd` (with Nesterov-free momentum) or `lion`.
        learning_rate: A schedule.
        trainable: Tree of bool like the parameters; False leaves are frozen.
        weight_decay: Decoupled; spares biases and BatchNorm. Not for `adam`.
        momentum: Of `sgd`.
        b1: Of the others.
        b2: Of the others.
        clip_norm: Global norm that gradients are clipped to; 0 for no clipping.
        layer_decay: The learning rate of a module of the trunk is this times that of the module above it; the head
            has the full rate (discriminative fine-tuning: Howard & Ruder 2018, arXiv:1801.06146). 1 for one rate.
        unfreeze_every: Steps after which the next module of the trunk, from the last one down, starts to learn; only
            the head learns at first (gradual unfreezing, ibid.). BatchNorm statistics follow the batches from the
            start. 0 for all at once.
        modules: The order of the trunk's modules, which the last two need; see `models.list_modules`.

    Raises:
        InputError: on a decay that the optimizer does not have, or a value that its key does not take.
    """
    check_values("optimizer", name=name, weight_decay=weight_decay, momentum=momentum, b1=b1, b2=b2)
    check_values("optimizer", clip_norm=clip_norm, layer_decay=layer_decay, unfreeze_every=unfreeze_every)
    if name == "adam" and weight_decay:
        raise InputError(f"optimizer.weight_decay is {weight_decay}, but adam has none; use optimizer.name=adamw")
    core = {
        "adam": lambda: optax.adam(learning_rate, b1, b2),
        "adamw": lambda: optax.adamw(learning_rate, b1, b2, weight_decay=weight_decay, mask=_decayed),
        "lion": lambda: optax.lion(learning_rate, b1, b2, weight_decay=weight_decay, mask=_decayed),
        "sgd": lambda: optax.chain(
            optax.trace(momentum),
            optax.add_decayed_weights(weight_decay, _decayed),
            optax.scale_by_learning_rate(learning_rate),
        ),
    }[name]()
    if clip_norm:
        core = optax.chain(optax.clip_by_global_norm(clip_norm), core)
    frozen = jax.tree.map(lambda leaf: not leaf, trainable)
    parts = [optax.masked(core, trainable), optax.masked(optax.set_to_zero(), frozen)]
    if layer_decay != 1 or unfreeze_every:
        parts.append(_scale_by_depth(transfer.measure_depths(trainable, modules), layer_decay, unfreeze_every))
    return optax.chain(*parts)


class _DepthState(NamedTuple):
    """Updates made so far."""

    updates: jax.Array


def _scale_by_depth(depths: Any, layer_decay: float, unfreeze_every: int) -> optax.GradientTransformation:
    """Shrinks updates of modules by their depth; before a module is unfrozen, to nothing."""

    def init(params: optax.Params) -> _DepthState:
        del params
        return _DepthState(jnp.zeros([], jnp.int32))

    def update(
        updates: optax.Updates, state: _DepthState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, _DepthState]:
        del params

        def scale(leaf: jax.Array, depth: int) -> jax.Array:
            factor = jnp.where(state.updates >= unfreeze_every * depth, layer_decay**depth, 0.0)
            return leaf * factor.astype(leaf.dtype)

        return jax.tree.map(scale, updates, depths), _DepthState(state.updates + 1)

    return optax.GradientTransformation(init, update)


def count_updates(opt_state: optax.OptState) -> int:
    """Updates that an optimizer of `create` has made, the position of its schedule; skipped steps make none."""
    return int(optax.tree.get_all_with_path(opt_state, "count")[0][1])


def _decayed(params: optax.Params) -> optax.Params:
    """Kernels decay; biases and BatchNorm's scale and bias do not."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)
