"""Trains 20 steps of one global batch each and saves where it ended; run by parallel_test.

python trajectory.py MODE X64 OUT_PREFIX   (JAX_* variables make it one of several processes)
"""

import sys

import jax
import numpy as np
from rich.console import Console

from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, pipeline
from ecg_jax.models import weights as weights_lib
from ecg_jax.runtime import distributed, parallel
from ecg_jax.training import augment, losses, optimizers, state, steps, transfer

BATCH_SIZE, STEPS = 16, 20


def main(mode: str, x64: bool, prefix: str) -> None:
    jax.config.update("jax_enable_x64", x64)
    distributed.start(Console(quiet=True))
    contract = InputContract(samples=512)
    dataset = datasets.create(
        "simulated", source="", labels="six", seed=3, options={"simulated": {"train": 48, "validation": 0, "test": 0}}
    )
    dataset.labels[np.random.default_rng(0).random(dataset.labels.shape) < 0.4] = np.nan  # unknown
    batches = pipeline.TrainBatches(
        pipeline.Examples(dataset, contract),
        batch_size=BATCH_SIZE,
        seed=5,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    is_local = mode == "pmap_local"
    layout = parallel.create(mode=mode.removesuffix("_local"), sync_batchnorm=not is_local, batch_size=BATCH_SIZE)
    network = models.create(
        "narrow",
        head="transfer",
        num_labels=6,
        axis_name=layout.norm_axis_name,
        transfer={"cut": 23, "conv_filters": (8,), "conv_kernel_sizes": (3,), "dense_widths": (8,)},
        trunk={"stem_filters": 4, "filters": (8, 12)},
    )
    variables = models.init(network, jax.random.key(1), contract.shape)
    if x64:
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    trainable = transfer.create_trainable_mask(variables["params"], first_keras_layers=5)
    schedule = optimizers.create_schedule("constant", learning_rate=1e-3, steps=STEPS)
    tx = optimizers.create("adamw", learning_rate=schedule, trainable=trainable, weight_decay=1e-2, clip_norm=1.0)
    step = steps.create_train_step(
        network,
        tx=tx,
        trainable=trainable,
        loss_fn=losses.create(num_labels=6),
        augment=augment.create(noise=0.1, wander=0.2, scale=0.2, shift=0.1, lead_dropout=0.1),
        ema_decay=0.9,
        axis_name=layout.axis_name,
        sync_batchnorm=layout.sync_batchnorm,
    )
    step = layout.compile_train(step)
    current = layout.replicate(state.create(variables, tx=tx, seed=2, ema_decay=0.9))
    history = []
    for _ in range(STEPS):
        batch = next(batches)
        if x64:
            batch = {
                key: value.astype(np.float64) if value.dtype == np.float32 else value for key, value in batch.items()
            }
        current = step(current, layout.shard(batch))
        history.append([float(current.window.loss_sum), float(current.window.loss_count)])
    ended = weights_lib.flatten({"params": current.params, "batch_stats": current.batch_stats, "ema": current.ema})
    arrays = {path: np.asarray(leaf) for path, leaf in ended.items()}
    np.savez(f"{prefix}{jax.process_index()}.npz", history=np.diff(np.array(history), axis=0, prepend=0), **arrays)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1", sys.argv[3])
