"""Trains 20 steps of one global batch each and saves where it ended; run by parallel_test.

python trajectory.py MODE X64 STORE OUT_PREFIX [CHECKPOINTS STEP]   (JAX_* variables: one of several processes)

MODE is `jit` or `pmap`, and after underscores: `local` (batch statistics), `device` (data resident
there), `scanned` (and five steps in one call). With CHECKPOINTS it continues from the last one
there, and leaves another at STEP.
"""

import sys

import jax
import numpy as np
from rich.console import Console

from ecg_jax import config as config_lib
from ecg_jax import models
from ecg_jax.contract import InputContract
from ecg_jax.data import datasets, input_pipeline, sampling, sources
from ecg_jax.models import weights as weights_lib
from ecg_jax.recording import LEADS
from ecg_jax.runtime import checkpoint, distributed, parallel
from ecg_jax.training import augment, losses, optimizers, state, steps, transfer

BATCH_SIZE, STEPS, SCANNED = 16, 20, 5
AUGMENT = dict.fromkeys(("noise", "wander", "scale", "shift", "lead_dropout", "resample", "time_mask"), 0.1)


def create_data(folder: str, seed: int = 3) -> datasets.dataset.Dataset:
    """The store, with some labels unknown."""
    dataset = datasets.create("store", source=folder, labels="six", seed=seed, options={})
    dataset.labels[np.random.default_rng(0).random(dataset.labels.shape) < 0.4] = np.nan
    return dataset


def main(mode: str, x64: bool, folder: str, prefix: str, saved: str = "", until: str = str(STEPS)) -> None:
    jax.config.update("jax_enable_x64", x64)
    distributed.start(Console(quiet=True))
    contract = InputContract(samples=256)
    kind, *options = mode.split("_")
    is_local, per_call = "local" in options, SCANNED if "scanned" in options else 1
    layout = parallel.create(
        mode=kind, sync_batchnorm=not is_local, batch_size=BATCH_SIZE, accumulate=1, steps_per_call=per_call
    )
    data = config_lib.create_default().data
    data.mode = "device" if {"device", "scanned"} & set(options) else "host"
    source = sources.create(data, contract, create_data(folder))
    order = sampling.Order(source.dataset, 5, batch_size=BATCH_SIZE)
    batches = input_pipeline.create_train_iterator(source, order, layout, steps_per_call=per_call)
    network = models.create(
        "narrow",
        head="transfer",
        num_labels=6,
        axis_name=layout.norm_axis_name,
        transfer={"cut": 12, "conv_filters": (8,), "conv_kernel_sizes": (3,), "dense_widths": (8,)},
        trunk={"stem_filters": 4, "filters": (8,)},
    )
    variables = models.init(network, jax.random.key(1), contract.shape)
    if x64:
        variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
    trainable = transfer.create_trainable_mask(variables["params"], first_keras_layers=5)
    schedule = optimizers.create_schedule("constant", learning_rate=1e-3, steps=STEPS)
    tx = optimizers.create("adamw", learning_rate=schedule, trainable=trainable, weight_decay=1e-2, clip_norm=1.0)

    def as_float(batch: dict) -> dict:
        return batch | {"signal": batch["signal"].astype(float)}  # of 64 bits where x64 is on

    step = steps.create_train_step(
        network,
        steps.Recipe(
            tx=tx,
            trainable=trainable,
            loss_fn=losses.create(num_labels=6),
            augment=augment.create(leads=LEADS, sampling_rate=400.0, **AUGMENT),
            mixup=augment.create_mixup(0.3),
            ema_decay=0.9,
        ),
        axis_name=layout.axis_name,
        sync_batchnorm=layout.sync_batchnorm,
        decode=lambda batch: as_float(source.decode_train(batch)),
    )
    if per_call > 1:
        step = steps.create_scanned_step(step, source.gather)
    step = layout.compile_train(step)
    current = layout.replicate(state.create(variables, tx=tx, seed=2, ema_decay=0.9))
    history = []
    first = 0
    if saved:
        checkpoints = checkpoint.Checkpoints(saved)
        if found := checkpoints.restore_last(layout.snapshot(current)):
            first, restored, records, _ = found
            current = layout.replicate(restored)
            batches.set_state(records["iterator"])
    before = [float(current.window.loss_sum), float(current.window.loss_count)]
    for _ in range((int(until) - first) // per_call):
        current = step(current, next(batches))
        history.append([float(current.window.loss_sum), float(current.window.loss_count)])
    if saved:
        checkpoints.save(checkpoint.LAST, int(until), layout.snapshot(current), {"iterator": batches.get_state()})
        checkpoints.wait()
    ended = weights_lib.flatten({"params": current.params, "batch_stats": current.batch_stats, "ema": current.ema})
    arrays = {path: np.asarray(leaf) for path, leaf in ended.items()}
    np.savez(
        f"{prefix}{jax.process_index()}.npz", history=np.diff(np.array(history), axis=0, prepend=[before]), **arrays
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1", *sys.argv[3:])
