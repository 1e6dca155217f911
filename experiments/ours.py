"""A training step as a run builds it, and a batch of random ECGs for it: what `throughput.py` and `scaling.py` time."""

from typing import Any

import numpy as np
import peers

from ecg_jax.models.network import Network
from ecg_jax.recording import LEADS
from ecg_jax.runtime.parallel import Parallel
from ecg_jax.training import augment, losses, optimizers, state, steps, transfer


def create_batch(batch_size: int) -> dict[str, np.ndarray]:
    """Random signals and labels, on the host; every sample is valid."""
    signal, label = peers.draw(batch_size)
    return {
        "signal": signal,
        "valid": np.ones(signal.shape[:2], bool),
        "label": label,
        "mask": np.ones(batch_size, bool),
        "index": np.arange(batch_size, dtype=np.int32),
    }


def create_training(
    network: Network, variables: Any, layout: Parallel, accumulate: int = 1
) -> tuple[steps.TrainStep, state.TrainState]:
    """Returns the step, not compiled yet, and the state it starts from, on the devices of `layout`. Adam, 1e-3."""
    trainable = transfer.create_trainable_mask(variables["params"])
    schedule = optimizers.create_schedule("constant", learning_rate=1e-3, steps=1)
    tx = optimizers.create("adam", learning_rate=schedule, trainable=trainable)
    step = steps.create_train_step(
        network,
        steps.Recipe(
            tx=tx,
            trainable=trainable,
            loss_fn=losses.create(num_labels=peers.LABELS),
            augment=augment.create(leads=LEADS, sampling_rate=400.0),
            accumulate=accumulate,
        ),
        axis_name=layout.axis_name,
    )
    return step, layout.replicate(state.create(variables, tx=tx, seed=0, ema_decay=0.0))
