"""What may be wrong with a heart besides its rhythm and its conduction, and what that makes of a beat."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.vectorcardiogram import Changes

# Each with its prevalence among patients who may be ill; they combine freely.
PATHOLOGIES = {
    "left_ventricular_hypertrophy": 0.18,
    "right_ventricular_hypertrophy": 0.03,
    "anterior_infarction": 0.19,
    "inferior_infarction": 0.19,
    "lateral_infarction": 0.07,
    "st_elevation": 0.04,
    "st_depression": 0.12,
    "t_inversion": 0.10,
    "flat_t": 0.12,
    "low_voltage": 0.04,
    "long_qt": 0.04,
    "hyperkalaemia": 0.01,
    "hypokalaemia": 0.02,
    "digitalis": 0.03,
    "right_atrial_enlargement": 0.04,
    "left_atrial_enlargement": 0.09,
    "fragmented_qrs": 0.05,
}
# Where the wall lies that infarction (the first three) and ischaemia are in: the unit vector towards it.
WALLS = np.array([[0.3, 0.0, -1.0], [-0.1, 1.0, 0.1], [1.0, 0.1, 0.2], [-0.2, 0.1, -1.0], [0.0, 0.3, 1.0]])
WALLS /= np.linalg.norm(WALLS, axis=1, keepdims=True)
_APEX = np.array([0.85, 0.45, -0.15])


class Pathology(NamedTuple):
    """`present` `[len(PATHOLOGIES)]` bool, its changes, and seconds by which QT is longer."""

    present: jax.Array
    changes: Changes
    qt_shift: jax.Array


def draw_pathology(draws: Draws, prevalence: float | jax.Array, is_ill: jax.Array, is_strained: jax.Array) -> Pathology:
    """Draws diseases and how pronounced they are.

    Most diseases of the ventricles leave a T wave that is lower than a healthy one, and an ST segment that runs
    towards it; the more, the rarer.

    Args:
        draws: Where the numbers come from.
        prevalence: Factor of the prevalences in `PATHOLOGIES`.
        is_ill: Whether anything may be wrong at all.
        is_strained: Whether rhythm or conduction are such as go with such T waves, too.
    """
    present = draws.flip(prevalence * jnp.array(list(PATHOLOGIES.values())), len(PATHOLOGIES))
    has = dict(zip(PATHOLOGIES, present, strict=True))
    lvh, rvh = has["left_ventricular_hypertrophy"], has["right_ventricular_hypertrophy"]
    dead = jnp.stack([has[f"{wall}_infarction"] for wall in ("anterior", "inferior", "lateral")])
    walls = jnp.asarray(WALLS, jnp.float32)
    wall = walls[draws.choose([0.35, 0.25, 0.2, 0.15, 0.05])]
    depth = 0.15 + 0.6 * draws.uniform(count=3) ** 1.5
    # R waves of V2 to V4 are smaller in most diseases; after anterior infarction, most.
    lost = draws.flip(jnp.where(is_ill, 0.6, 0.0)) * draws.uniform(0.0, 0.45)
    infarct = -jnp.sum((dead * depth)[:, None] * walls[:3], axis=0) - lost * walls[0]
    ischaemic = jnp.sum(dead[:, None] * walls[:3], axis=0) + has["st_elevation"] * wall
    elevation = jnp.where(has["st_elevation"], draws.lognormal(0.15, 0.6), 0.0)
    is_acute = jnp.any(dead) & draws.flip(0.15)
    elevation_dead = jnp.where(is_acute, draws.lognormal(0.10, 0.6), 0.0) * jnp.sum(dead[:, None] * walls[:3], axis=0)
    secondary = draws.flip(jnp.where(lvh | jnp.any(dead), 0.7, jnp.where(is_strained, 0.45, 0.0))) * draws.uniform()
    # Of ST depression: towards the apex, or away from one wall, and seldom without the T wave that goes with it.
    deep = jnp.where(has["st_depression"], draws.lognormal(0.09, 0.5), 0.0)
    away = jnp.where(draws.flip(0.7), jnp.asarray(_APEX), wall)
    depression = deep * away + secondary * draws.flip(0.6) * draws.lognormal(0.06, 0.5) * jnp.asarray(_APEX)
    with_depression = jnp.where(has["st_depression"] & draws.flip(0.8), draws.uniform(-0.5, 0.8), 1.0)
    scooped = jnp.where(has["digitalis"], draws.uniform(0.06, 0.16), 0.0) * jnp.asarray(_APEX)
    flat = jnp.where(has["flat_t"] | has["hypokalaemia"], draws.uniform(-0.1, 0.6), 1.0)
    peaked = jnp.where(has["hyperkalaemia"], draws.uniform(1.6, 2.6), 1.0)
    is_regional = draws.flip(0.6)  # whether T inversion is of one wall, or everywhere
    inverted = has["t_inversion"] & ~is_regional
    changes = Changes(
        left=jnp.where(lvh, draws.uniform(1.15, 2.0), 1.0),
        right=jnp.where(rvh, draws.uniform(0.5, 1.3), 0.0) * jnp.array([-0.8, 0.2, -0.7]),
        infarct=infarct,
        size=jnp.where(has["low_voltage"], draws.uniform(0.3, 0.6), 1.0),
        st=elevation * wall + elevation_dead - depression - scooped,
        t_size=peaked * flat * with_depression * (1 - 1.15 * secondary) * jnp.where(has["digitalis"], 0.5, 1.0),
        t_strain=jnp.select(
            [lvh & draws.flip(0.45), inverted | rvh], [draws.uniform(0.2, 0.9), draws.uniform(0.5, 1.0)], 0.0
        ),
        t_width=jnp.where(has["hyperkalaemia"], 0.65, 1.0),
        t_local=-0.4 * draws.uniform() ** 2 * ischaemic
        - jnp.where(has["t_inversion"] & is_regional, 0.1 + 0.5 * draws.uniform() ** 1.5, 0.0) * wall,
        u=jnp.where(has["hypokalaemia"], draws.uniform(2.0, 5.0), 1.0),
        p_right=jnp.where(has["right_atrial_enlargement"], draws.uniform(1.5, 2.4), 1.0),
        p_left=jnp.where(has["left_atrial_enlargement"], draws.uniform(1.3, 2.2), 1.0),
        notch=jnp.where(has["fragmented_qrs"], draws.uniform(0.3, 1.0), 0.0),
        turn=jnp.where(is_ill, -jnp.maximum(draws.normal(0.25, 0.3), 0.0), 0.0),
    )
    qt_shift = jnp.where(has["long_qt"], draws.uniform(0.03, 0.12), 0.0) - jnp.where(has["digitalis"], 0.03, 0.0)
    return Pathology(present, changes, qt_shift)
