"""One update, one evaluation: pure functions of state and batch.

A batch is a dict: `signal` `[B, T, leads]` in the contract's unit, `valid` `[B, T]` bool, `label` `[B, C]` (1, 0,
NaN = unknown), `mask` `[B]` bool (False where there is no recording) and `index` `[B]` int32, the example's place in
the global batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ecg_jax.models import Network
from ecg_jax.models import weights as weights_lib
from ecg_jax.training import transfer
from ecg_jax.training.augment import AugmentFn, MixupFn
from ecg_jax.training.losses import LossFn
from ecg_jax.training.state import TrainState, Window, update_average

Batch = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], TrainState]
EvalStep = Callable[[Any, Batch], tuple[jax.Array, jax.Array, jax.Array]]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a network learns.

    Attributes:
        tx: The optimizer, masked by `trainable`.
        trainable: Tree of bool like the parameters.
        loss_fn: See `losses.create`.
        augment: See `augment.create`.
        mixup: See `augment.create_mixup`; the whole global batch is gathered for it.
        ema_decay: Of the averaged weights and statistics, after its warm-up (see `update_average`); 0 for none.
        accumulate: Micro-batches of a batch, computed one after the other to save memory; a device's examples are dealt
            out to them in turn. BatchNorms that learn normalize by the statistics of each, and update theirs each time.
        on_nonfinite: `skip` keeps weights, statistics and the optimizer's state (and so the schedule's position) where
            loss or gradients are not finite; with `stop` the caller has to stop.
    """

    tx: optax.GradientTransformation
    trainable: Any
    loss_fn: LossFn
    augment: AugmentFn
    mixup: MixupFn | None = None
    ema_decay: float = 0.0
    accumulate: int = 1
    on_nonfinite: str = "stop"


def create_train_step(
    network: Network,
    recipe: Recipe,
    *,
    axis_name: str | None = None,
    sync_batchnorm: bool = True,
    decode: Callable[[Batch], Batch] = lambda batch: batch,
) -> TrainStep:
    """Builds `(state, batch) -> state`.

    Only trainable leaves are differentiated; frozen BatchNorms run on their stored statistics. Losses and counts of
    known labels are summed over devices and micro-batches before the division, or those with fewer known labels would
    weigh too much.

    Args:
        network: The network; if mapped, built with its BatchNorms' `axis_name`.
        recipe: How it learns.
        axis_name: The mapped axis under pmap; None under jit.
        sync_batchnorm: False if the network's BatchNorms do not average over that axis; then the running statistics are
            averaged here.
        decode: Makes a transferred batch the batch described above.
    """
    norms = transfer.frozen_norms(recipe.trainable)

    def total(value: Any) -> Any:
        return jax.lax.psum(value, axis_name) if axis_name else value

    def train_step(state: TrainState, batch: Batch) -> TrainState:
        batch = decode(batch)
        rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        dropout_rng, augment_rng, mixup_rng = jax.random.split(rng, 3)
        examples = _create_examples(recipe, batch, augment_rng, mixup_rng, axis_name)
        learned, frozen = transfer.partition(state.params, recipe.trainable)

        def objective(learned: Any, batch_stats: Any, examples: Batch) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            variables = {"params": transfer.combine(learned, frozen), "batch_stats": batch_stats}
            with transfer.stored_statistics(norms):
                logits, updated = network.apply(
                    variables,
                    examples["signal"],
                    index=examples["index"],
                    train=True,
                    rngs={"dropout": dropout_rng},
                    mutable=["batch_stats"],
                )
            loss_sum, count = recipe.loss_fn(logits, examples["label"])
            return loss_sum, (count, updated.get("batch_stats", {}))

        compute = jax.value_and_grad(objective, has_aux=True)
        if recipe.accumulate == 1:
            (loss_sum, (count, batch_stats)), grads = compute(learned, state.batch_stats, examples)
        else:
            loss_sum, count, batch_stats, grads = _accumulate(
                compute, learned, state.batch_stats, examples, recipe.accumulate
            )
        grads, loss_sum, count = total((grads, loss_sum, count))
        grads = jax.tree.map(lambda grad: grad / jnp.maximum(count, 1).astype(grad.dtype), grads)
        if axis_name and not sync_batchnorm:
            batch_stats = _average(batch_stats, state.batch_stats, norms, axis_name)
        updates, opt_state = recipe.tx.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: update * state.lr_scale.astype(update.dtype), updates)
        params = transfer.combine(optax.apply_updates(learned, updates), frozen)
        ema = state.ema
        if recipe.ema_decay:
            fresh = {"params": params, "batch_stats": batch_stats}
            ema = update_average(ema, fresh, decay=recipe.ema_decay, step=state.step)
        grad_norm = optax.tree.norm(grads)
        is_bad = ~(jnp.isfinite(loss_sum) & jnp.isfinite(grad_norm))
        changed = {"params": params, "batch_stats": batch_stats, "opt_state": opt_state, "ema": ema}
        is_skipped = is_bad & (recipe.on_nonfinite == "skip")
        if recipe.on_nonfinite == "skip":
            before = {key: getattr(state, key) for key in changed}
            changed = jax.tree.map(lambda old, new: jnp.where(is_bad, old, new), before, changed)
            loss_sum, count, grad_norm = (jnp.where(is_bad, 0, value) for value in (loss_sum, count, grad_norm))
        window = Window(
            loss_sum=state.window.loss_sum + loss_sum,
            loss_count=state.window.loss_count + count,
            grad_norm_sum=state.window.grad_norm_sum + grad_norm,
            steps=state.window.steps + 1,
            dropped=state.window.dropped + total(jnp.sum(~batch["mask"], dtype=jnp.int32)),
            bad_step=jnp.where(is_bad & (state.window.bad_step < 0), state.step, state.window.bad_step),
            skipped=state.window.skipped + is_skipped.astype(jnp.int32),
        )
        return state.replace(step=state.step + 1, window=window, **changed)

    return train_step


def _create_examples(
    recipe: Recipe, batch: Batch, augment_rng: jax.Array, mixup_rng: jax.Array, axis_name: str | None
) -> Batch:
    """Augments; leaves `signal`, `label` and `index`."""

    def create_keys(rng: jax.Array) -> jax.Array:
        return jax.vmap(lambda i: jax.random.fold_in(rng, i))(batch["index"])

    signal = jax.vmap(recipe.augment)(create_keys(augment_rng), batch["signal"], batch["valid"])
    label = jnp.where(batch["mask"][:, None], batch["label"], jnp.nan)
    if recipe.mixup:
        mine = signal, label, batch["index"]
        everyone = jax.lax.all_gather(mine, axis_name, tiled=True) if axis_name else mine
        signal, label = recipe.mixup(create_keys(mixup_rng), *mine, *everyone)
    return {"signal": signal, "label": label, "index": batch["index"]}


def _accumulate(
    compute: Callable, learned: Any, batch_stats: Any, examples: Batch, count: int
) -> tuple[jax.Array, jax.Array, Any, Any]:
    """Sums losses, counts and gradients over micro-batches; returns them with the last statistics."""

    def split(value: jax.Array) -> jax.Array:
        """`[B, ...]` as `[count, B / count, ...]`, so that every device keeps a share of each part."""
        return jnp.swapaxes(value.reshape(-1, count, *value.shape[1:]), 0, 1)

    def add(carry: tuple[Any, Any], part: Batch) -> tuple[tuple[Any, Any], None]:
        sums, batch_stats = carry
        (loss_sum, (known, batch_stats)), grads = compute(learned, batch_stats, part)
        return (jax.tree.map(jnp.add, sums, (loss_sum, known, grads)), batch_stats), None

    parts = jax.tree.map(split, examples)
    first = jax.tree.map(lambda value: value[0], parts)
    (loss_sum, (known, _)), grads = jax.eval_shape(lambda: compute(learned, batch_stats, first))
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), (loss_sum, known, grads))
    ((loss_sum, known, grads), batch_stats), _ = jax.lax.scan(add, (zeros, batch_stats), parts)
    return loss_sum, known, batch_stats, grads


def create_scanned_step(train_step: TrainStep, gather: Callable[[jax.Array, Batch], Batch]) -> TrainStep:
    """Builds `(state, batches) -> state`, several steps in one call, on data that is on the device.

    `batches` hold the `array` that `gather` reads, see `Source.gather`, and `places`, `[steps, B, ...]`, of each step.
    """

    def scanned(state: TrainState, batches: Batch) -> TrainState:
        def step(state: TrainState, places: Any) -> tuple[TrainState, None]:
            return train_step(state, gather(batches["array"], places)), None

        return jax.lax.scan(step, state, batches["places"])[0]

    return scanned


def _average(batch_stats: Any, before: Any, frozen: frozenset[str], axis_name: str) -> Any:
    """Averages running statistics over devices; frozen ones stay as they were, bit for bit."""
    averaged = weights_lib.flatten(jax.lax.pmean(batch_stats, axis_name))
    kept = {path: leaf for path, leaf in weights_lib.flatten(before).items() if path.rsplit("/", 1)[0] in frozen}
    return weights_lib.unflatten(averaged | kept)


def create_eval_step(
    network: Network, *, axis_name: str | None = None, decode: Callable[[Batch], Batch] = lambda batch: batch
) -> EvalStep:
    """Builds `(variables, batch) -> (logits [B, C], index [B], mask [B])`, gathered from all devices."""

    def eval_step(variables: Any, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        batch = decode(batch)
        result: Any = network.apply(variables, batch["signal"]), batch["index"], batch["mask"]
        return jax.lax.all_gather(result, axis_name, tiled=True) if axis_name else result

    return eval_step
