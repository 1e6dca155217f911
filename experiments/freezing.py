"""What freezing saves: seconds per training step, with more and more of the network frozen.

  python experiments/freezing.py [--trunk=reference] [--batch_size=16] [--repeats=7]

Compares, in one run and in turns, a step that differentiates every parameter and masks
the updates of the frozen ones with a step that differentiates the trainable ones alone.
Medians; compilation is not counted.

On 2 CPU cores (jax 0.10.2), `--batch_size=8 --repeats=5`:

    frozen Keras layers   masked only   trainable subtree   ratio
                      0       0.681 s             0.675 s    1.01
                      5       0.665 s             0.569 s    1.17
                     15       0.672 s             0.404 s    1.66
                     26       0.644 s             0.306 s    2.10
                     37       0.646 s             0.256 s    2.53
                     45       0.670 s             0.245 s    2.73

autoECG's first 5 layers are cheap to save: the stem and the first convolution hold a third of
the arithmetic, but their forward pass remains.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from ecg_jax import models
from ecg_jax.recording import LEADS
from ecg_jax.training import augment, losses, optimizers, state, steps, transfer

FROZEN = (0, 5, 15, 26, 37, 45)


def create_step(network: models.Network, variables: dict, frozen: int, is_masked_only: bool) -> tuple:
    """Returns a compiled step and its first state."""
    mask = transfer.create_trainable_mask(variables["params"], first_keras_layers=frozen)
    schedule = optimizers.create_schedule("constant", learning_rate=1e-3, steps=1000)
    tx = optimizers.create("adam", learning_rate=schedule, trainable=mask)
    learned = jax.tree.map(lambda _: True, mask) if is_masked_only else mask
    step = steps.create_train_step(
        network,
        steps.Recipe(
            tx=tx,
            trainable=learned,
            loss_fn=losses.create(num_labels=1),
            augment=augment.create(leads=LEADS, sampling_rate=400.0),
        ),
    )
    return jax.jit(step), state.create(variables, tx=tx, seed=0, ema_decay=0.0)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trunk", default="reference", choices=models.TRUNKS)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    network = models.create(arguments.trunk, head="transfer", num_labels=1)
    variables = models.init(network, jax.random.key(0), (4096, 12))
    size = arguments.batch_size
    rng = np.random.default_rng(0)
    batch = {
        "signal": rng.normal(size=(size, 4096, 12)).astype(np.float32),
        "valid": np.ones((size, 4096), bool),
        "label": (rng.random((size, 1)) > 0.5).astype(np.float32),
        "mask": np.ones(size, bool),
        "index": np.arange(size, dtype=np.int32),
    }
    print(f"{jax.devices()[0].device_kind}, {arguments.trunk} trunk, batches of {size}")
    print("frozen Keras layers   masked only   trainable subtree   ratio")
    for frozen in FROZEN:
        built = [create_step(network, variables, frozen, is_masked_only) for is_masked_only in (True, False)]
        seconds: list[list[float]] = [[], []]
        for repeat in range(arguments.repeats + 1):
            for variant, (step, first) in enumerate(built):
                start = time.perf_counter()
                jax.block_until_ready(step(first, batch))
                if repeat:  # the first call compiles
                    seconds[variant].append(time.perf_counter() - start)
        masked, subtree = map(statistics.median, seconds)
        print(f"{frozen:>19}   {masked:>9.3f} s   {subtree:>15.3f} s   {masked / subtree:>5.2f}", flush=True)


if __name__ == "__main__":
    main()
