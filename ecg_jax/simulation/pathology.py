"""Diseases other than of rhythm and conduction, and their effect on a beat."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation import conduction, rhythm
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.patients import Patient
from ecg_jax.simulation.vectorcardiogram import APEX, Changes

# Each with its prevalence among patients who may be ill; they combine freely.
PATHOLOGIES = {
    "left_ventricular_hypertrophy": 0.18,
    "right_ventricular_hypertrophy": 0.03,
    "anterior_infarction": 0.19,
    "inferior_infarction": 0.19,
    "lateral_infarction": 0.07,
    "posterior_infarction": 0.02,
    "st_elevation": 0.04,
    "st_depression": 0.12,
    "t_inversion": 0.10,
    "flat_t": 0.12,
    "low_voltage": 0.04,
    "long_qt": 0.04,
    "hyperkalaemia": 0.01,
    "hypokalaemia": 0.02,
    "digitalis": 0.03,
    "right_atrial_enlargement": 0.05,
    "left_atrial_enlargement": 0.14,
    "fragmented_qrs": 0.05,
}
# Unit vectors towards the walls of infarction (the first four) and ischaemia.
INFARCTED = ("anterior", "inferior", "lateral", "posterior")
WALLS = np.array([[0.3, 0.0, -1.0], [-0.1, 1.0, 0.1], [1.0, 0.1, 0.2], [0.0, 0.3, 1.0], [-0.2, 0.1, -1.0]])
WALLS /= np.linalg.norm(WALLS, axis=1, keepdims=True)
_DEPTHS = ((0.12, 0.55), (0.06, 0.36), (0.12, 0.50), (0.0, 0.0))  # mV, least and range
_POSTERIOR_WITH_INFERIOR = 0.15
_TO_FRONT_AND_LEFT = np.array([0.50, 0.32, -0.80])
# Variants of the normal, with their prevalence in the young and in all others, women and men.
VARIANTS = {
    "early_repolarization": ((0.03, 0.15), (0.01, 0.04)),
    "juvenile_t": ((0.15, 0.05), (0.03, 0.005)),
    "athlete": ((0.05, 0.15), (0.0, 0.01)),
}
_YOUNG = 40.0  # years
_FAST_INTERVAL = 0.75  # seconds between beats, below which T waves become lower


class Pathology(NamedTuple):
    """What was drawn, and its effect."""

    present: jax.Array  # `[len(PATHOLOGIES)]` bool
    variants: jax.Array  # `[len(VARIANTS)]` bool
    changes: Changes
    qt_shift: jax.Array  # seconds


def draw_pathology(draws: Draws, patient: Patient, factor: float | jax.Array) -> Pathology:
    """Draws diseases and how pronounced they are, and variants of the normal; `factor` is of all prevalences.

    Most diseases of the ventricles lower the T wave and tilt the ST segment towards it; larger changes are rarer. A
    fast rhythm has the same effect.
    """
    is_ill = patient.is_ill & (factor > 0)
    is_strained = patient.is_ill & ((patient.rhythm != rhythm.SINUS) | (patient.conduction != conduction.NORMAL))
    prevalences = factor * patient.is_ill * jnp.array(list(PATHOLOGIES.values()))
    posterior, inferior = (list(PATHOLOGIES).index(f"{wall}_infarction") for wall in ("posterior", "inferior"))
    present = draws.flip(prevalences, len(PATHOLOGIES))
    present = present.at[posterior].set(present[posterior] | present[inferior] & draws.flip(_POSTERIOR_WITH_INFERIOR))
    has = dict(zip(PATHOLOGIES, present, strict=True))
    variants, variant_changes = _draw_variants(draws, patient.age, patient.is_male)
    lvh, rvh = has["left_ventricular_hypertrophy"], has["right_ventricular_hypertrophy"]
    dead = jnp.stack([has[f"{wall}_infarction"] for wall in INFARCTED])
    walls = jnp.asarray(WALLS, jnp.float32)
    wall = walls[draws.choose([0.35, 0.25, 0.2, 0.05, 0.15])]
    least, most = jnp.array(_DEPTHS).T
    depth = least + most * draws.uniform(count=len(INFARCTED)) ** 1.5
    in_dead = jnp.sum(dead[:, None] * walls[: len(INFARCTED)], axis=0)
    infarct = -jnp.sum((dead * depth)[:, None] * walls[: len(INFARCTED)], axis=0)
    unopposed = has["posterior_infarction"] * draws.uniform(0.3, 1.2) * -walls[3]  # of the front, by a dead back
    ischaemic = in_dead + has["st_elevation"] * wall
    elevation = jnp.where(has["st_elevation"], draws.lognormal(0.15, 0.6), 0.0)
    is_acute = jnp.any(dead) & draws.flip(0.15)
    elevation_dead = jnp.where(is_acute, draws.lognormal(0.10, 0.6), 0.0) * in_dead
    secondary = draws.flip(jnp.where(lvh | jnp.any(dead), 0.55, jnp.where(is_strained, 0.45, 0.0))) * draws.uniform()
    # Of ST depression: towards the apex, or away from one wall, and seldom without the T wave that goes with it.
    deep = jnp.where(has["st_depression"], draws.lognormal(0.09, 0.5), 0.0)
    away = jnp.where(draws.flip(0.7), jnp.asarray(APEX), wall)
    depression = deep * away + secondary * draws.flip(0.6) * draws.lognormal(0.06, 0.5) * jnp.asarray(APEX)
    with_depression = jnp.where(has["st_depression"] & draws.flip(0.8), draws.uniform(-0.5, 0.8), 1.0)
    scooped = jnp.where(has["digitalis"], draws.uniform(0.06, 0.16), 0.0) * jnp.asarray(APEX)
    flat = jnp.where(has["flat_t"] | has["hypokalaemia"], draws.uniform(-0.1, 0.6), 1.0)
    peaked = jnp.where(has["hyperkalaemia"], draws.uniform(1.6, 2.6), 1.0)
    is_regional = draws.flip(0.6)  # whether T inversion is of one wall, or everywhere
    t_wall = jnp.concatenate([walls[:3], jnp.asarray(APEX)[None]])[draws.choose([0.2, 0.15, 0.3, 0.35])]
    inverted = has["t_inversion"] & ~is_regional
    fast = (
        jnp.maximum(1 - patient.mean_interval / _FAST_INTERVAL, 0.0)
        * jnp.where(is_ill, 1.6, 0.8)
        * draws.uniform(0.4, 1.0)
    )
    early, juvenile, athletic = variant_changes
    changes = Changes(
        left=jnp.where(lvh, draws.uniform(1.15, 2.0), 1.0),
        right=jnp.where(rvh, draws.uniform(0.5, 1.3), 0.0) * jnp.array([-0.8, 0.2, -0.7]) + unopposed,
        infarct=infarct,
        size=jnp.where(has["low_voltage"], draws.uniform(0.3, 0.6), 1.0) * athletic,
        st=elevation * wall
        + elevation_dead
        - depression
        - scooped
        - 0.06 * fast * jnp.asarray(APEX)
        + early * jnp.asarray(_TO_FRONT_AND_LEFT),
        t_size=peaked
        * flat
        * with_depression
        * (1 - 1.15 * secondary)
        * jnp.where(has["digitalis"], 0.5, 1.0)
        * jnp.maximum(1 - 1.6 * fast, 0.1)
        * (1 + 2 * early),
        t_strain=jnp.select(
            [lvh & draws.flip(0.45), inverted | rvh], [draws.uniform(0.2, 0.9), draws.uniform(0.5, 1.0)], 0.0
        ),
        t_width=jnp.where(has["hyperkalaemia"], 0.65, 1.0),
        t_local=-0.3 * draws.uniform() ** 2 * ischaemic
        - jnp.where(has["t_inversion"] & is_regional, 0.1 + 0.5 * draws.uniform() ** 1.5, 0.0) * t_wall,
        u=jnp.where(has["hypokalaemia"], draws.uniform(2.0, 5.0), 1.0),
        p_right=jnp.where(has["right_atrial_enlargement"], draws.uniform(1.5, 2.4), 1.0),
        p_left=jnp.where(has["left_atrial_enlargement"], draws.uniform(1.3, 2.2), 1.0),
        notch=jnp.where(has["fragmented_qrs"], draws.uniform(0.3, 1.0), 0.0),
        turn=jnp.where(is_ill, -jnp.maximum(draws.normal(0.05, 0.25), 0.0), 0.0),
        # R waves of V2 to V4 are smaller in most diseases.
        rotation=draws.flip(jnp.where(is_ill, 0.6, 0.0)) * draws.uniform(0.0, 0.45),
        initial=draws.flip(0.5).astype(jnp.float32),
        t_chest=-juvenile * jnp.array([0.6, 1.0, 0.7, 0.15, 0.0, 0.0]),
    )
    qt_shift = jnp.where(has["long_qt"], draws.uniform(0.03, 0.12), 0.0) - jnp.where(has["digitalis"], 0.03, 0.0)
    return Pathology(present, variants, changes, qt_shift)


def _draw_variants(draws: Draws, age: jax.Array, is_male: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Variants present `[len(VARIANTS)]`; mV of ST elevation and of T inversion, and the factor of voltage."""
    prevalences = jnp.array(list(VARIANTS.values()))[:, jnp.where(age < _YOUNG, 0, 1), is_male.astype(int)]
    present = draws.flip(prevalences, len(VARIANTS))
    sizes = jnp.stack([draws.uniform(0.06, 0.18), draws.uniform(0.2, 0.8), draws.uniform(1.1, 1.4)])
    return present, jnp.where(present, sizes, jnp.array([0.0, 0.0, 1.0]))
