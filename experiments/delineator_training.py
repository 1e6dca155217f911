"""Training of the delineator on simulated ECGs; `delineation.py` runs it."""

import functools
import os
import time
from typing import Any

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from delineator_examples import SAMPLES, THRESHOLDS, draw_one

from ecg_jax.explanation import delineation_network, delineator_weights
from ecg_jax.explanation.delineation_network import DelineationNetwork
from ecg_jax.explanation.simulated_waves import KINDS, Example
from ecg_jax.simulation.boundaries import WAVES

LEVELS = 3  # thresholds of each wave
# Chosen on LUDB's marks: which of the thresholds, the probability above which there is a wave, and the seconds by which
# its onset and offset are moved, the median difference from the marks.
LEVEL = {"P": 2, "QRS": 1, "T": 1}
PROBABILITIES = {"P": 0.35, "QRS": 0.5, "T": 0.5}
SHIFTS = {"P": [-0.021, 0.009], "QRS": [-0.017, 0.011], "T": [-0.014, 0.013]}
SEED = 1
# Recordings and leads of the two kinds of batches that alternate.
BATCHES = ((12, 12), (32, 4))
_WARMUP, _AVERAGING = 200, 0.998
_CHECKPOINT_SECONDS, _LOG_EVERY = 120, 20


@functools.partial(jax.jit, static_argnums=(1, 2))
def draw_batch(key: jax.Array, count: int, leads: int) -> Example:
    """Draws a batch of examples."""
    return jax.vmap(lambda each: draw_one(each, leads))(jax.random.split(key, count))


def compute_loss(params: Any, batch: Example) -> tuple[jax.Array, jax.Array]:
    """Mean cross entropy, and its parts by wave and kind `[5]`."""
    logits = delineation_network.apply(params, batch.signal, batch.recorded.any(axis=2))
    waves = logits[..., : LEVELS * len(WAVES)].reshape(*logits.shape[:3], len(WAVES), LEVELS)
    mask = (batch.recorded[..., None] & batch.known[:, None])[..., None]
    each = optax.sigmoid_binary_cross_entropy(waves, batch.inside) * mask
    waves_loss = each.sum(axis=(0, 1, 2, 4)) / (LEVELS * jnp.maximum(mask.sum(axis=(0, 1, 2, 4)), 1))
    applies = (batch.recorded & batch.is_complex[:, None])[..., None]
    target = jnp.broadcast_to(batch.kinds[:, None], logits[..., -2:].shape)
    kinds = optax.sigmoid_binary_cross_entropy(logits[..., -2:], target) * applies
    kinds_loss = kinds.sum(axis=(0, 1, 2)) / jnp.maximum(applies.sum(axis=(0, 1, 2)), 1)
    return waves_loss.sum() + 0.02 * kinds_loss.sum(), jnp.concatenate([waves_loss, kinds_loss])


def create_optimizer(steps: int, rate: float) -> optax.GradientTransformation:
    """AdamW with a warm-up and a cosine."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, min(_WARMUP, steps // 4), steps, rate / 100)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=1e-3))


def train(workdir: str, steps: int, rate: float, start: str | None = None) -> None:
    """Trains, from the last checkpoint if there is one, else from the averaged weights of another folder, if given."""
    os.makedirs(workdir, exist_ok=True)
    path = os.path.join(workdir, "state.msgpack")
    tx = create_optimizer(steps, rate)
    network = DelineationNetwork(LEVELS * len(WAVES) + len(KINDS))
    params = network.init(jax.random.key(0), jnp.zeros((1, 2, SAMPLES)), jnp.ones((1, 2), bool))["params"]
    if start:
        with open(os.path.join(start, "state.msgpack"), "rb") as stored:
            params = flax.serialization.from_state_dict(
                params, flax.serialization.msgpack_restore(stored.read())["average"]
            )
    command = f"python experiments/delineation.py --train --workdir={workdir} --steps={steps} --rate={rate:g}"
    command += f" --start={start}" if start else ""
    earlier = workdir if os.path.exists(path) else start
    commands = [*(each for each in read_commands(earlier) if each != command), command] if earlier else [command]
    state = {"step": 0, "params": params, "average": params, "opt_state": tx.init(params)}
    if os.path.exists(path):
        with open(path, "rb") as stored:
            state = flax.serialization.from_bytes(state, stored.read())

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(params: Any, average: Any, opt_state: Any, batch: Example, step: int) -> Any:
        gradient, parts = jax.grad(compute_loss, has_aux=True)(params, batch)
        updates, opt_state = tx.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        rate = jnp.minimum(_AVERAGING, (1 + step) / (10 + step))
        average = jax.tree.map(lambda old, new: rate * old + (1 - rate) * new, average, params)
        return params, average, opt_state, parts

    params, average = jax.tree.map(jnp.array, (state["params"], state["average"]))
    opt_state = jax.tree.map(jnp.array, state["opt_state"])
    saved, began, parts_seen = time.time(), time.time(), []
    for step in range(int(state["step"]), steps):
        batch = draw_batch(jax.random.fold_in(jax.random.key(SEED + bool(start)), step), *BATCHES[step % len(BATCHES)])
        params, average, opt_state, parts = update(params, average, opt_state, batch, step)
        parts_seen.append(np.asarray(parts))
        if (step + 1) % _LOG_EVERY == 0:
            means = np.mean(parts_seen, axis=0)
            print(f"step {step + 1}, {time.time() - began:.0f} s:", " ".join(f"{x:.4f}" for x in means), flush=True)
            parts_seen = []
        if time.time() - saved > _CHECKPOINT_SECONDS or step + 1 == steps:
            content = flax.serialization.to_bytes(
                {"step": step + 1, "params": params, "average": average, "opt_state": opt_state}
            )
            with open(path + ".part", "wb") as file:
                file.write(content)
            os.replace(path + ".part", path)
            with open(os.path.join(workdir, "commands.txt"), "w") as text:
                text.write("\n".join(commands) + "\n")
            saved = time.time()


def read_commands(workdir: str) -> list[str]:
    """The commands that made the checkpoint of a folder, as `train` wrote them beside it."""
    path = os.path.join(workdir, "commands.txt")
    if not os.path.exists(path):
        return ["unknown"]
    with open(path) as file:
        return file.read().splitlines()


def ship(workdir: str) -> None:
    """Writes the average weights of a checkpoint to the package, with the outputs that were chosen."""
    with open(os.path.join(workdir, "state.msgpack"), "rb") as file:
        state = flax.serialization.msgpack_restore(file.read())
    params = state["average"]
    columns = [number * LEVELS + LEVEL[wave] for number, wave in enumerate(WAVES)]
    columns += [LEVELS * len(WAVES) + number for number in range(len(KINDS))]
    head = {}
    for name, values in params["head"].items():
        apart = values.reshape(*values.shape[:-1], -1, LEVELS * len(WAVES) + len(KINDS))
        head[name] = apart[..., columns].reshape(*values.shape[:-1], -1)
    provenance = {
        "commands": read_commands(workdir),
        "steps": int(state["step"]),
        "thresholds": {wave: THRESHOLDS[wave][LEVEL[wave]].tolist() for wave in WAVES},
        "jax": jax.__version__,
    }
    delineator_weights.save({**params, "head": head}, PROBABILITIES, SHIFTS, provenance)
