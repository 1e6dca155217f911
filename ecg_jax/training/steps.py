"""One update, one evaluation: pure functions of state and batch.

A batch is a dict: `signal` `[B, T, leads]` in the contract's unit, `valid` `[B, T]` bool,
`label` `[B, C]` (1, 0, NaN = unknown), `mask` `[B]` bool (False where there is no
recording) and `index` `[B]` int32, the example's place in the global batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ecg_jax.models import Network
from ecg_jax.models import weights as weights_lib
from ecg_jax.training import transfer
from ecg_jax.training.augment import AugmentFn
from ecg_jax.training.losses import LossFn
from ecg_jax.training.state import TrainState, Window

Batch = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], TrainState]
EvalStep = Callable[[Any, Batch], tuple[jax.Array, jax.Array, jax.Array]]


def create_train_step(
    network: Network,
    *,
    tx: optax.GradientTransformation,
    trainable: Any,
    loss_fn: LossFn,
    augment: AugmentFn,
    ema_decay: float = 0.0,
    axis_name: str | None = None,
    sync_batchnorm: bool = True,
    decode: Callable[[Batch], Batch] = lambda batch: batch,
) -> TrainStep:
    """Builds `(state, batch) -> state`.

    Only trainable leaves are differentiated; frozen BatchNorms run on their stored
    statistics. Losses and counts of known labels are summed over devices before the
    division, or devices with fewer known labels would weigh too much.

    Args:
        network: The network; if mapped, built with its BatchNorms' `axis_name`.
        tx: The optimizer, masked by `trainable`.
        trainable: Tree of bool like the parameters.
        loss_fn: See `losses.create`.
        augment: See `augment.create`.
        ema_decay: Of the averaged weights and statistics; 0 for none.
        axis_name: The mapped axis under pmap; None under jit.
        sync_batchnorm: False if the network's BatchNorms do not average over that axis;
            then the running statistics are averaged here.
        decode: Turns a batch as it is transferred into the batch described above.
    """
    norms = transfer.frozen_norms(trainable)

    def total(value: Any) -> Any:
        return jax.lax.psum(value, axis_name) if axis_name else value

    def train_step(state: TrainState, batch: Batch) -> TrainState:
        batch = decode(batch)
        rng = jax.random.fold_in(jax.random.wrap_key_data(state.rng), state.step)
        dropout_rng, augment_rng = jax.random.split(rng)
        keys = jax.vmap(lambda i: jax.random.fold_in(augment_rng, i))(batch["index"])
        signal = jax.vmap(augment)(keys, batch["signal"], batch["valid"])
        label = jnp.where(batch["mask"][:, None], batch["label"], jnp.nan)
        learned, frozen = transfer.partition(state.params, trainable)

        def objective(learned: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array, Any]]:
            variables = {"params": transfer.combine(learned, frozen), "batch_stats": state.batch_stats}
            with transfer.stored_statistics(norms):
                logits, updated = network.apply(
                    variables,
                    signal,
                    index=batch["index"],
                    train=True,
                    rngs={"dropout": dropout_rng},
                    mutable=["batch_stats"],
                )
            loss_sum, count = loss_fn(logits, label)
            count = total(count)
            return loss_sum / jnp.maximum(count, 1), (loss_sum, count, updated.get("batch_stats", {}))

        grads, (loss_sum, count, batch_stats) = jax.grad(objective, has_aux=True)(learned)
        grads, loss_sum = total(grads), total(loss_sum)
        if axis_name and not sync_batchnorm:
            batch_stats = _average(batch_stats, state.batch_stats, norms, axis_name)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        updates = jax.tree.map(lambda update: update * state.lr_scale.astype(update.dtype), updates)
        params = transfer.combine(optax.apply_updates(learned, updates), frozen)
        grad_norm = optax.tree.norm(grads)
        is_bad = ~(jnp.isfinite(loss_sum) & jnp.isfinite(grad_norm))
        window = Window(
            loss_sum=state.window.loss_sum + loss_sum,
            loss_count=state.window.loss_count + count,
            grad_norm_sum=state.window.grad_norm_sum + grad_norm,
            steps=state.window.steps + 1,
            dropped=state.window.dropped + total(jnp.sum(~batch["mask"], dtype=jnp.int32)),
            bad_step=jnp.where(is_bad & (state.window.bad_step < 0), state.step, state.window.bad_step),
        )
        ema = state.ema
        if ema_decay:
            fresh = {"params": params, "batch_stats": batch_stats}
            ema = jax.tree.map(lambda old, new: old + (1 - ema_decay) * (new - old), ema, fresh)
        return state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=ema,
            window=window,
        )

    return train_step


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
