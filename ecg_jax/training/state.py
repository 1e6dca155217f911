"""Everything a run carries from one step to the next."""

from typing import Any, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import optax

Tree = TypeVar("Tree")  # of arrays


class Window(flax.struct.PyTreeNode):
    """Sums over the steps since the last log line; they stay on the device until it is due.

    Attributes:
        loss_sum: Summed loss over known labels.
        loss_count: Number of known labels.
        grad_norm_sum: Summed global norm of the gradients.
        steps: Number of steps.
        dropped: Examples that held no signal.
        bad_step: First step whose loss or gradient was not finite; -1 while there was none.
        skipped: Steps that changed nothing, as they were not finite.
    """

    loss_sum: jax.Array
    loss_count: jax.Array
    grad_norm_sum: jax.Array
    steps: jax.Array
    dropped: jax.Array
    bad_step: jax.Array
    skipped: jax.Array

    @classmethod
    def empty(cls) -> "Window":
        """A window of no steps."""
        zero, none = jnp.zeros(()), jnp.zeros((), jnp.int32)
        return cls(zero, zero, zero, none, none, none - 1, none)


class TrainState(flax.struct.PyTreeNode):
    """The state of a run. Together with the data's order it decides everything that follows.

    Attributes:
        step: Number of updates made.
        params: Parameters.
        batch_stats: BatchNorm's running statistics.
        opt_state: The optimizer's; nothing for frozen leaves.
        ema: Averaged `{"params", "batch_stats"}`, or `{}` where averaging is off.
        rng: Raw data of the root key; each step folds its number into it.
        lr_scale: What plateaus made of the learning rate, from 1 downwards.
        window: See `Window`.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema: Any
    rng: jax.Array
    lr_scale: jax.Array
    window: Window

    @property
    def variables(self) -> dict[str, Any]:
        """What predictions are made with: the averaged weights where there are some."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


def create(variables: dict[str, Any], *, tx: optax.GradientTransformation, seed: int, ema_decay: float) -> TrainState:
    """Starts a run.

    Args:
        variables: `{"params", "batch_stats"}`.
        tx: The optimizer.
        seed: Of dropout and augmentation.
        ema_decay: 0 for no averaging of weights.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=tx.init(variables["params"]),
        ema=jax.tree.map(jnp.copy, dict(variables)) if ema_decay else {},
        rng=jax.random.key_data(jax.random.key(seed)),
        lr_scale=jnp.ones(()),
        window=Window.empty(),
    )


def update_average(average: Tree, fresh: Tree, *, decay: float, step: jax.Array) -> Tree:
    """Moves an exponential average of weights and statistics towards fresh values, with a decay that warms up.

    The decay is `min(decay, (1 + step) / (10 + step))`, as in TensorFlow's `ExponentialMovingAverage` with
    `num_updates`. With a constant decay of 0.999, initial weights would still count 82 % after 200 steps; so they
    count `9! step! / (step + 9)!` after `step` updates, until the decay is reached.

    Args:
        average: Tree of arrays.
        fresh: Tree like it, after the update.
        decay: The largest, in [0, 1).
        step: `[]` int, updates made before this one. It is in the state, so that a resumed run continues alike.

    Returns:
        Tree like `average`.
    """
    weight = jnp.maximum(1 - decay, 9 / (10 + step))  # one minus the decay
    return jax.tree.map(lambda old, new: old + weight.astype(old.dtype) * (new - old), average, fresh)
