"""Estimates how the beats of normal ECGs are distributed: makes `ecg_jax/simulation/normal_beats.npz`.

  python experiments/fit_beats.py --data=DIR/ptbxl,DIR/ptbxl_100hz [--output=ecg_jax/simulation/normal_beats.npz]

The median beat of every recording of PTB-XL's folds 1 to 8 with the statement NORM (0.1 to 40 Hz, eight independent
leads) is described by the bells that the simulator draws: their parameters are those of least squares with normal
priors, by Adam. The distribution of the parameters is a mean with slopes on age and sex, and a covariance. Prints how
much of the beats the bells explain. Takes two minutes on two cores.
"""

import argparse
import dataclasses
import os
import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import median_beats  # noqa: E402
import scipy.signal  # noqa: E402
from median_beats import RATE  # noqa: E402

from ecg_jax.simulation import leads, shapes, vectorcardiogram  # noqa: E402

BEFORE, AFTER = 100, 200  # samples around the onset of QRS
TIME = np.arange(-BEFORE, AFTER) / RATE
INDEPENDENT = [0, 1, 6, 7, 8, 9, 10, 11]  # leads
SLOW = dataclasses.replace(median_beats.CONTRACT, highpass=0.1)  # keeps the ST segment; the median removes wander
NOISE = 0.03  # mV
SHRINKAGE = 0.03  # of the covariance towards its diagonal
STEPS, AT_ONCE = 1200, 125
# Where the search begins, as in `vectorcardiogram`: time, width, dipole of the parts of P; the dipole of T.
P_BELLS = ((0.33, 0.17, (0.050, 0.075, -0.055)), (0.66, 0.18, (0.120, 0.050, 0.035)))
T_DIPOLE = (0.38, 0.22, -0.16)
P, QRS = 0.104, 0.095  # seconds, the usual durations


State = tuple[jax.Array, jax.Array, jax.Array]  # of Adam: where it is, and two moments of the slope


class Described(NamedTuple):
    """A beat: its shape, and what is not kept of it."""

    shape: shapes.Shape
    qrs: shapes.Values  # logarithm of its duration in seconds
    onset: shapes.Values  # seconds after where it was measured
    t_shift: shapes.Values  # seconds
    pr: shapes.Values
    base: shapes.Values  # [8] mV
    slope: shapes.Values  # [8] mV per second


def describe(shape: dict[str, Any], **rest: Any) -> Described:
    """Of NumPy's arrays and of numbers."""
    return Described(shapes.Shape(**shape), **rest)


def split(bells: Any) -> list[np.ndarray]:
    """Times `[N]`, widths `[N]`, dipoles `[N, 3]`, and what else there is."""
    return [np.array(column) for column in zip(*bells, strict=True)]


def create_priors() -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of what describes a beat, flat."""
    times, widths, dipoles, _ = split(vectorcardiogram.NORMAL_QRS)
    p_times, p_widths, p_dipoles = split(P_BELLS)
    body = np.array(T_DIPOLE)
    length = np.linalg.norm(dipoles, axis=1, keepdims=True)
    mean = describe(
        shape={
            "qrs_time": times,
            "qrs_width": np.log(widths),
            "qrs_dipole": dipoles,
            "qrs_chest": np.zeros((6, 6)),
            "t_dipole": np.stack([0.85 * body, 0.15 * body, 0.05 * body, 0 * body]),
            "t_chest": np.zeros((4, 6)),
            "t_fall": np.log(0.038),
            "t_rise": np.log(1.55),
            "p_time": p_times,
            "p_width": np.log(p_widths),
            "p_dipole": p_dipoles,
            "p_chest": np.zeros((2, 6)),
        },
        qrs=np.log(QRS),
        onset=0.0,
        t_shift=0.0,
        pr=0.155,
        base=np.zeros(8),
        slope=np.zeros(8),
    )
    deviation = describe(
        shape={
            "qrs_time": np.full(6, 0.045),
            "qrs_width": np.full(6, 0.22),
            "qrs_dipole": 0.12 + 0.45 * np.repeat(length, 3, axis=1),
            "qrs_chest": 0.05 + 0.3 * np.repeat(length, 6, axis=1),
            "t_dipole": np.repeat([[0.25], [0.05], [0.04], [0.02]], 3, axis=1),
            "t_chest": np.repeat([[0.12], [0.03], [0.025], [0.015]], 6, axis=1),
            "t_fall": 0.25,
            "t_rise": 0.2,
            "p_time": np.full(2, 0.07),
            "p_width": np.full(2, 0.2),
            "p_dipole": np.full((2, 3), 0.05),
            "p_chest": np.full((2, 6), 0.03),
        },
        qrs=0.12,
        onset=0.012,
        t_shift=0.04,
        pr=0.03,
        base=np.full(8, 0.006),
        slope=np.full(8, 0.015),
    )
    return flatten(mean), flatten(deviation)


def flatten(described: Described) -> np.ndarray:
    """All of it, the shape first."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(described)]).astype(np.float32)


def unflatten(values: jax.Array) -> Described:
    """The opposite."""
    qrs, onset, t_shift, pr = values[shapes.SIZE : shapes.SIZE + 4]
    base, slope = values[shapes.SIZE + 4 :].reshape(2, 8)
    return Described(shapes.unflatten(values[: shapes.SIZE]), qrs, onset, t_shift, pr, base, slope)


def create_low_pass() -> np.ndarray:
    """`[samples, samples]`: what `median_beats` filters with, as a matrix."""
    count = BEFORE + AFTER
    impulse = np.zeros(4 * count)
    impulse[2 * count] = 1
    response = scipy.signal.sosfiltfilt(median_beats.LOW_PASS, impulse)
    return response[2 * count + np.subtract.outer(np.arange(count), np.arange(count))].astype(np.float32)


def synthesize(described: Described, interval: jax.Array) -> jax.Array:
    """The beat `[samples, 8]` mV, filtered."""
    time = jnp.asarray(TIME) - described.onset
    qrs = vectorcardiogram.create_qrs(described.shape, jnp.exp(described.qrs))
    fall = vectorcardiogram.narrow(described.shape.t_fall, interval)
    peak = vectorcardiogram.QT * jnp.cbrt(jnp.minimum(interval, 1.4)) - 2.1 * fall + described.t_shift
    t = vectorcardiogram.create_t(described.shape, fall, jnp.maximum(peak - jnp.exp(described.qrs), 0.05))
    p = vectorcardiogram.create_p(described.shape, jnp.asarray(P))
    waves = ((qrs, time), (t, time - peak), (p, time + described.pr))
    up = jnp.concatenate([vectorcardiogram.ring(bells, since) for bells, since in waves], axis=1)
    places, limbs = jnp.asarray(leads.PLACES), jnp.array([leads.DOWER["I"], leads.DOWER["II"]])
    seen = up @ jnp.concatenate([vectorcardiogram.see(bells, places, limbs) for bells, _ in waves])
    seen = seen @ jnp.asarray(leads.TO_TWELVE[:, INDEPENDENT])
    return jnp.asarray(create_low_pass()) @ seen + described.base + described.slope * jnp.asarray(TIME)[:, None]


def fit(beats: np.ndarray, intervals: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What describes beats `[N, samples, 8]`, `[N, ...]`, and the beats it makes."""
    mean, deviation = create_priors()

    def create(z: jax.Array, interval: jax.Array) -> jax.Array:
        return synthesize(unflatten(mean + deviation * z), interval)

    def loss(z: jax.Array, beat: jax.Array, interval: jax.Array, weight: jax.Array) -> jax.Array:
        left = (create(z, interval) - beat) * weight[:, None] / NOISE
        return jnp.sum(left**2) / 6 + jnp.sum(z**2) / 2  # neighbouring samples are not independent: one in three is

    slope = jax.vmap(jax.grad(loss))

    @jax.jit
    def run(beats: jax.Array, intervals: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(state: State, number: jax.Array) -> tuple[State, None]:
            z, first, second = state
            found = slope(z, beats, intervals, weights)
            first, second = 0.9 * first + 0.1 * found, 0.99 * second + 0.01 * found**2
            rate = 0.025 * (1 + jnp.cos(jnp.pi * number / STEPS)) + 1e-4
            change = first / (1 - 0.9 ** (number + 1)) / (jnp.sqrt(second / (1 - 0.99 ** (number + 1))) + 1e-6)
            return (z - rate * change, first, second), None

        start = jnp.zeros((len(beats), len(mean)))
        (z, _, _), _ = jax.lax.scan(step, (start, start, start), jnp.arange(STEPS))
        return z, jax.vmap(create)(z, intervals)

    found = []
    for begin in range(0, len(beats), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        found.append(jax.device_get(run(beats[part], intervals[part], weights[part])))
        print(f"{min(begin + AT_ONCE, len(beats))} of {len(beats)} beats", flush=True)
    z, made = (np.concatenate(each) for each in zip(*found, strict=True))
    return mean + deviation * z, made


def cut(beat: median_beats.Beat) -> tuple[np.ndarray, np.ndarray]:
    """`[samples, 8]` mV around the onset of QRS, and which samples `[samples]` are of this beat alone, as 0 or 1."""
    padded = np.pad(beat.signal[:, INDEPENDENT], ((BEFORE, AFTER), (0, 0)), mode="edge")
    level = np.median(beat.signal[max(beat.onset - 8, 0) : max(beat.onset - 1, 1), INDEPENDENT], axis=0)
    first, last = max(-0.24, 0.45 - beat.interval), min(0.62 * beat.interval + 0.12, 0.49)
    inside = (first < TIME) & (last > TIME)
    return (padded[beat.onset : beat.onset + BEFORE + AFTER] - level).astype(np.float32), inside.astype(np.float32)


def take_sizes(values: shapes.Values) -> jax.Array:
    """A shape `[SIZE]` as `shapes.scale` takes it: sizes, and the shape without them."""
    shape = shapes.unflatten(values)
    sizes = [jnp.log(jnp.linalg.norm(dipole)) for dipole in (shape.qrs_dipole, shape.t_dipole, shape.p_dipole)]
    return shapes.scale(jnp.concatenate([jnp.stack(sizes), values]), -1.0)


def estimate(values: np.ndarray, age: np.ndarray, is_male: np.ndarray) -> dict[str, np.ndarray]:
    """The distribution of shapes `[N, SIZE]`, as `shapes` reads it."""
    values = np.asarray(jax.vmap(take_sizes)(jnp.asarray(values)))
    known = np.isfinite(age)
    design = np.stack([np.ones(len(age)), np.where(known, (np.clip(age, 15, 95) - 55) / 15, 0), is_male], axis=1)
    slopes = np.linalg.lstsq(design, values, rcond=None)[0]
    left = values - design @ slopes
    covariance = left.T @ left / (len(left) - design.shape[1])
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance))
    return {
        "mean": slopes[0],
        "age": slopes[1],
        "male": slopes[2],
        "factor": np.linalg.cholesky(covariance).T,  # normal numbers times this have the covariance
    }


def main() -> None:
    """Reads, fits, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folders in PTB-XL's layout, with commas")
    parser.add_argument("--output", default=shapes.FILE, help="the file to write")
    options = parser.parse_args()
    found: pd.DataFrame = median_beats.read(options.data.split(","), SLOW)
    found = found[found["statements"].map(lambda codes: "NORM" in codes) & (found["fold"] <= 8)]
    beats, inside = (np.stack(each) for each in zip(*map(cut, found["beat"]), strict=True))
    values, made = fit(beats, np.array([beat.interval for beat in found["beat"]], np.float32), inside)
    left, whole = ((part * inside[..., None]) for part in (made - beats, beats - beats.mean(axis=1, keepdims=True)))
    explained = 1 - (left**2).sum(axis=(1, 2)) / (whole**2).sum(axis=(1, 2))
    print(f"{len(found)} beats; explained variance, 5th, 50th and 95th percentile:")
    print(" ".join(f"{value:.4f}" for value in np.percentile(explained, (5, 50, 95))))
    table = estimate(values[:, : shapes.SIZE], found["age"].to_numpy(float), (found["sex"] == "M").to_numpy(float))
    stored: dict[str, Any] = {name: each.astype(np.float32) for name, each in table.items()}
    np.savez_compressed(options.output, **stored)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
