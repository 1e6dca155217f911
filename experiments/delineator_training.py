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
from absl import logging

from ecg_jax.explanation import delineation_network, delineator_weights
from ecg_jax.explanation.delineation_network import SAMPLING_RATE, DelineationNetwork
from ecg_jax.explanation.simulated_waves import KINDS, Example, draw_example
from ecg_jax.simulation.boundaries import WAVES
from ecg_jax.simulation.patients import Population

# Fractions of a wave's height and millivolts; see `simulation.boundaries`.
THRESHOLDS = {
    "P": np.array([(0.03, 0.005), (0.05, 0.01), (0.1, 0.02)], np.float32),
    "QRS": np.array([(0.01, 0.015), (0.02, 0.03), (0.06, 0.04)], np.float32),
    "T": np.array([(0.02, 0.01), (0.05, 0.015), (0.1, 0.03)], np.float32),
}
LEVELS = 3
# Chosen on LUDB's marks: which of the thresholds, the probability above which there is a wave, and the seconds by which
# its onset and offset are moved, as cardiologists mark them.
LEVEL = {"P": 1, "QRS": 1, "T": 1}
PROBABILITIES = {"P": 0.5, "QRS": 0.5, "T": 0.5}
SHIFTS = {"P": [-0.011, -0.002], "QRS": [-0.017, 0.011], "T": [-0.009, 0.015]}
SEED = 1
SAMPLES = 1280
# Recordings and leads of the two kinds of batches that alternate.
BATCHES = ((12, 12), (32, 4))
_WARMUP, _AVERAGING = 200, 0.998
_CHECKPOINT_SECONDS, _LOG_EVERY = 120, 20


def draw_population(key: jax.Array) -> Population:
    """A hospital's, with more ectopic beats, a wider spread and other noise in each recording."""
    noise, spread = jax.random.normal(key, (2,))
    return Population(
        ill=0.6,
        rhythms=(0.62, 0.16, 0.05, 0.03, 0.03, 0.06, 0.03, 0.02),
        ventricular_ectopy=0.22,
        atrial_ectopy=0.16,
        spread=1.2 * jnp.exp(0.2 * spread),  # type: ignore[arg-type]
        noise=0.9 * jnp.exp(0.8 * noise),  # type: ignore[arg-type]
    )


def draw_leads(key: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Which leads a recording has: `count` numbers, and which of them are recorded."""
    order, number, kept = jax.random.split(key, 3)
    if count == 12:
        is_partial = jax.random.bernoulli(number, 0.3)
        recorded = ~is_partial | jax.random.bernoulli(kept, 0.7, (12,))
        return jnp.arange(12), recorded.at[1].set(True)
    chosen = jax.random.permutation(order, 12)[:count]
    return chosen, jnp.arange(count) < jax.random.randint(number, (), 1, count + 1)


def augment(key: jax.Array, signal: jax.Array, valid: jax.Array) -> jax.Array:
    """Changes gain, polarity, baseline, bandwidth and resolution of `[L, T]` mV."""
    keys = jax.random.split(key, 10)
    leads, samples = signal.shape
    gain = jnp.exp(0.1 * jax.random.normal(keys[0], (leads, 1)))
    sign = jnp.where(jax.random.bernoulli(keys[1], 0.1, (leads, 1)), -1.0, 1.0)
    time = jnp.arange(samples) / SAMPLING_RATE
    rates = jax.random.uniform(keys[2], (3, 1), minval=0.05, maxval=0.6)
    phases = jax.random.uniform(keys[3], (leads, 3, 1), maxval=2 * jnp.pi)
    size = 0.4 * jax.random.exponential(keys[4], (leads, 1)) * jax.random.bernoulli(keys[5], 0.2)
    wander = size * jnp.sum(jnp.sin(2 * jnp.pi * rates * time + phases), axis=1)
    frequency = jnp.fft.rfftfreq(samples, 1 / SAMPLING_RATE)
    is_slow = jax.random.bernoulli(keys[6], 0.35)
    limit = jnp.where(is_slow, jax.random.uniform(keys[7], minval=30.0, maxval=60.0), 1e3)
    response = 1 / jnp.sqrt(1 + (frequency / limit) ** 8)
    signal = jnp.fft.irfft(jnp.fft.rfft(gain * sign * signal) * response, samples) + wander
    step = jax.random.uniform(keys[8], (leads, 1), minval=0.005, maxval=0.03) * jax.random.bernoulli(keys[9], 0.3)
    signal = jnp.where(step > 0, jnp.round(signal / jnp.maximum(step, 1e-3)) * step, signal)
    centre = jnp.nanmedian(jnp.where(valid, signal, jnp.nan), axis=1, keepdims=True)
    return jnp.where(valid, signal - jnp.nan_to_num(centre), 0.0)


def warp(key: jax.Array, example: Example) -> Example:
    """Moves P and T waves of each lead by some milliseconds against those of the others.

    In the simulator T ends at the same time in all leads, unlike in patients; QRS complexes stay nearly where they are.
    """
    keys = jax.random.split(key, 3)
    leads, samples = example.signal.shape
    time = jnp.arange(samples) / SAMPLING_RATE
    rates = jax.random.uniform(keys[0], (leads, 3, 1), minval=0.4, maxval=2.0)
    phases = jax.random.uniform(keys[1], (leads, 3, 1), maxval=2 * jnp.pi)
    size = 0.006 * jnp.abs(jax.random.normal(keys[2], (leads, 1)))  # seconds, of each of three sinusoids
    near = jax.lax.reduce_window(example.is_complex.astype(jnp.float32), 0.0, jax.lax.max, (41,), (1,), "SAME")
    near = jnp.convolve(near, jnp.ones(21) / 21, mode="same")
    moved = SAMPLING_RATE * size * jnp.sum(jnp.sin(2 * jnp.pi * rates * time + phases), axis=1) * (1 - 0.85 * near)
    place = jnp.clip(jnp.arange(samples) + moved, 0, samples - 1.001)
    low = place.astype(jnp.int32)
    share = place - low

    def take(values: jax.Array) -> jax.Array:
        index = low.reshape(*low.shape, *[1] * (values.ndim - 2))
        part = share.reshape(index.shape)
        after = jnp.take_along_axis(values, index + 1, axis=1)
        return (1 - part) * jnp.take_along_axis(values, index, axis=1) + part * after

    return example._replace(signal=take(example.signal), inside=take(example.inside))


def draw_one(key: jax.Array, leads: int) -> Example:
    """One example with this number of leads."""
    drawing, whose, which, changing = jax.random.split(key, 4)
    example = draw_example(
        drawing,
        draw_population(whose),
        THRESHOLDS,
        samples=SAMPLES,
        sampling_rate=SAMPLING_RATE,
        durations=(6.0, 6.0, 6.0, 3.0),
    )
    chosen, recorded = draw_leads(which, leads)
    valid = example.recorded[chosen] & recorded[:, None]
    example = example._replace(signal=example.signal[chosen], recorded=valid, inside=example.inside[chosen])
    example = warp(jax.random.fold_in(whose, 1), example)
    return example._replace(signal=augment(changing, example.signal, valid))


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
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, _WARMUP, steps, rate / 100)
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
            logging.info("step %d, %.0f s: %s", step + 1, time.time() - began, " ".join(f"{x:.4f}" for x in means))
            parts_seen = []
        if time.time() - saved > _CHECKPOINT_SECONDS or step + 1 == steps:
            content = flax.serialization.to_bytes(
                {"step": step + 1, "params": params, "average": average, "opt_state": opt_state}
            )
            with open(path + ".part", "wb") as file:
                file.write(content)
            os.replace(path + ".part", path)
            saved = time.time()


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
        "steps": int(state["step"]),
        "jax": jax.__version__,
        "thresholds": {wave: THRESHOLDS[wave][LEVEL[wave]].tolist() for wave in WAVES},
    }
    delineator_weights.save({**params, "head": head}, PROBABILITIES, SHIFTS, provenance)
