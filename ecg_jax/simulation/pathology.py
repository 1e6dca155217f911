"""What else may be wrong with a heart that has none, one or more of the six diagnoses.

Nothing here is one of the labels; all of it is in real recordings, and a network must learn to look past it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.vectorcardiogram import Changes

# Each with its prevalence among simulated patients; they combine freely.
PATHOLOGIES = {
    "left_ventricular_hypertrophy": 0.11,
    "right_ventricular_hypertrophy": 0.03,
    "anterior_infarction": 0.06,
    "inferior_infarction": 0.06,
    "lateral_infarction": 0.03,
    "st_elevation": 0.04,
    "st_depression": 0.07,
    "t_inversion": 0.10,
    "flat_t": 0.12,
    "low_voltage": 0.05,
    "long_qt": 0.04,
    "hyperkalaemia": 0.01,
    "hypokalaemia": 0.02,
    "digitalis": 0.02,
    "right_atrial_enlargement": 0.04,
    "left_atrial_enlargement": 0.07,
    "fragmented_qrs": 0.06,
}
# Where the wall lies that infarction (the first three) and ischaemia are in: the unit vector towards it.
_WALLS = np.array([[0.2, 0.0, -1.0], [-0.1, 1.0, 0.1], [1.0, 0.1, 0.2], [-0.2, 0.1, -1.0], [0.0, 0.3, 1.0]])
_WALLS /= np.linalg.norm(_WALLS, axis=1, keepdims=True)


class Pathology(NamedTuple):
    """`present` `[len(PATHOLOGIES)]` bool, its changes, and seconds by which QT is longer."""

    present: jax.Array
    changes: Changes
    qt_shift: jax.Array


def draw_pathology(draws: Draws, prevalence: float | jax.Array) -> Pathology:
    """Draws diseases and how pronounced they are.

    Args:
        draws: Where the numbers come from.
        prevalence: Factor of the prevalences in `PATHOLOGIES`.
    """
    present = draws.flip(prevalence * jnp.array(list(PATHOLOGIES.values())), len(PATHOLOGIES))
    has = dict(zip(PATHOLOGIES, present, strict=True))
    lvh, rvh = has["left_ventricular_hypertrophy"], has["right_ventricular_hypertrophy"]
    anterior, inferior, lateral = (has[f"{wall}_infarction"] for wall in ("anterior", "inferior", "lateral"))
    walls = jnp.asarray(_WALLS, jnp.float32)
    wall = walls[draws.choose([1.0] * len(_WALLS))]
    depth = draws.uniform(0.2, 0.7, 3)
    dead = jnp.stack([anterior, inferior, lateral])
    infarct = -jnp.sum((dead * depth)[:, None] * walls[:3], axis=0)
    ischaemic = jnp.sum(dead[:, None] * walls[:3], axis=0) + has["st_elevation"] * wall
    elevation = jnp.where(has["st_elevation"], draws.lognormal(0.15, 0.6), 0.0)
    depression = jnp.where(has["st_depression"] | (lvh & draws.flip(0.4)), draws.lognormal(0.08, 0.5), 0.0)
    scooped = jnp.where(has["digitalis"], draws.uniform(0.08, 0.2), 0.0)
    towards_apex = jnp.array([0.8, 0.4, -0.3])
    early_repolarization = jnp.maximum(draws.normal(0.01, 0.03), -0.02)
    changes = Changes(
        left=jnp.where(lvh, draws.uniform(1.3, 2.2), 1.0),
        right=jnp.where(rvh, draws.uniform(0.5, 1.3), 0.0) * jnp.array([-0.8, 0.2, -0.7]),
        infarct=infarct,
        size=jnp.where(has["low_voltage"], draws.uniform(0.25, 0.55), 1.0),
        st=elevation * wall - (depression + scooped) * towards_apex + early_repolarization * towards_apex,
        t_size=jnp.select(
            [has["hyperkalaemia"], has["flat_t"] | has["hypokalaemia"]],
            [draws.uniform(1.6, 2.6), draws.uniform(0.0, 0.45)],
            1.0,
        ),
        t_strain=jnp.select([lvh, has["t_inversion"] | rvh], [draws.uniform(0.0, 0.9), draws.uniform(0.5, 1.0)], 0.0),
        t_width=jnp.where(has["hyperkalaemia"], 0.65, 1.0),
        t_local=-draws.uniform(0.0, 0.45) * ischaemic,
        u=jnp.where(has["hypokalaemia"], draws.uniform(2.0, 5.0), draws.flip(0.3) * 1.0),
        p_right=jnp.where(has["right_atrial_enlargement"], draws.uniform(1.5, 2.4), 1.0),
        p_left=jnp.where(has["left_atrial_enlargement"], draws.uniform(1.3, 2.2), 1.0),
        notch=jnp.where(has["fragmented_qrs"], draws.uniform(0.3, 1.0), 0.0),
    )
    qt_shift = jnp.where(has["long_qt"], draws.uniform(0.03, 0.12), 0.0) - jnp.where(has["digitalis"], 0.03, 0.0)
    return Pathology(present, changes, qt_shift)
