"""Conduction: PR, QRS and QT. The shapes of bundle branch blocks are in `vectorcardiogram`.

Criteria: Surawicz et al. 2009, J Am Coll Cardiol 53:976 (QRS of 120 ms and more in complete bundle branch block, 110 or
100 to 119 ms in incomplete block) and Kusumoto et al. 2019, Circulation 140:e382 (PR above 200 ms in first-degree
block).
"""

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from ecg_jax.simulation.draws import Draws

if TYPE_CHECKING:
    from ecg_jax.simulation.interventions import Interventions
    from ecg_jax.simulation.patients import Patient

# Each with the bounds of its QRS duration in milliseconds; the middle is the most frequent.
CONDUCTIONS = {
    "normal": (72, 107),
    "RBBB": (114, 172),
    "LBBB": (116, 180),
    "incomplete_RBBB": (84, 121),
    "incomplete_LBBB": (98, 121),
    "LAFB": (84, 118),
    "LPFB": (84, 118),
    "nonspecific_delay": (108, 150),
    "preexcitation": (105, 150),
    "RBBB_LAFB": (118, 175),
    "RBBB_LPFB": (118, 175),
}
(NORMAL, RBBB, LBBB, INCOMPLETE_RBBB, INCOMPLETE_LBBB, LAFB, LPFB, DELAYED, PREEXCITED, RBBB_LAFB, RBBB_LPFB) = range(
    len(CONDUCTIONS)
)
RIGHT_BLOCKS = (RBBB, INCOMPLETE_RBBB, RBBB_LAFB, RBBB_LPFB)  # of the bundle branch, at any duration
LEFT_BLOCKS = (LBBB, INCOMPLETE_LBBB)
LIKE_NORMAL = (NORMAL, INCOMPLETE_RBBB, DELAYED, PREEXCITED)  # the order of activation is mostly a normal heart's


class Intervals(NamedTuple):
    """Seconds; `qt` is of a beat of the recording's mean interval."""

    pr: jax.Array
    p: jax.Array
    qrs: jax.Array
    qt: jax.Array
    qrs_ectopic: jax.Array


def draw_intervals(draws: Draws, patient: "Patient", qt_shift: jax.Array, interventions: "Interventions") -> Intervals:
    """Draws the intervals of a patient, unless they are set; `qt_shift` is in seconds, from drugs or electrolytes.

    QT follows the cube root of the interval (Fridericia 1920), and is some 10 ms longer in women (Rautaharju et al.
    2009, J Am Coll Cardiol 53:982).
    """
    bounds = jnp.array(list(CONDUCTIONS.values()), jnp.float32)[patient.conduction] / 1e3
    mean_interval = patient.mean_interval
    qrs = bounds[0] + (bounds[1] - bounds[0]) * (draws.uniform() + draws.uniform()) / 2
    qrs = qrs + jnp.where(patient.conduction == NORMAL, 0.006 * patient.is_male - 0.003, 0.0)
    qrs = interventions.choose("qrs", jnp.where(patient.is_paced, draws.uniform(0.13, 0.19), qrs))
    usual = draws.normal(0.152, 0.020) + 0.0003 * (patient.age - 50)
    long = 0.196 + draws.lognormal(0.030, 0.75)
    pr = jnp.where(patient.is_first_degree, jnp.minimum(long, 0.42), jnp.clip(usual, 0.105, 0.198))
    pr = jnp.where(patient.conduction == PREEXCITED, draws.uniform(0.075, 0.115), pr)
    pr = interventions.choose("pr", jnp.minimum(pr, jnp.maximum(mean_interval - 0.15, 0.10)))
    corrected = draws.normal(0.401, 0.018) - 0.012 * patient.is_male + 0.0004 * (patient.age - 55) + qt_shift
    qt = corrected * jnp.cbrt(jnp.minimum(mean_interval, 1.4)) + 0.7 * jnp.maximum(qrs - 0.095, 0.0)
    qt = jnp.minimum(qt, 0.92 * mean_interval + 0.04)
    at_60 = jnp.cbrt(mean_interval)
    qt = qt if interventions.qtc is None else at_60 * interventions.choose("qtc", qt / at_60)
    return Intervals(
        pr=pr,
        p=jnp.minimum(draws.normal(0.104, 0.012), pr - 0.01),
        qrs=qrs,
        qt=qt,
        qrs_ectopic=draws.uniform(0.12, 0.18),
    )
