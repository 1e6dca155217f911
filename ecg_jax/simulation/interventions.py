"""What is set in a simulated recording, while everything else stays as it was drawn: the patient, the noise, the rest.

Intervals are set where they are drawn (`conduction`), amplitudes in the finished beat, here. What the simulator derives
from a parameter follows it: QT and the width of T follow the rate, QT follows the width of QRS, and a P wave is shorter
where it would not fit into PR.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.recording import LEADS
from ecg_jax.simulation.conduction import Intervals
from ecg_jax.simulation.measures import Measures, measure
from ecg_jax.simulation.pathology import INFARCTED, PATHOLOGIES, WALLS
from ecg_jax.simulation.vectorcardiogram import LEFT_FORCES, Beat

_WALL_LEADS = {"inferior": ("II", "III", "aVF"), "anterior": ("V1", "V2", "V3", "V4")}
_ELEVATION = list(PATHOLOGIES).index("st_elevation")
_ST_BELL = 2  # of T's
_FACTORS = np.linspace(0.0, 5.0, 51, dtype=np.float32)  # of left ventricular forces, among which one is found
_V1, _V5, _V6 = map(LEADS.index, ("V1", "V5", "V6"))

Setting = float | jax.Array | None


class Interventions(NamedTuple):
    """Values to set; NaN leaves a parameter as it was drawn, and so does None, which compiles to nothing."""

    rate: Setting = None  # per minute, the mean of sinus rhythm
    pr: Setting = None  # seconds
    qrs: Setting = None  # seconds; the pattern of conduction stays
    qtc: Setting = None  # seconds, QT at 60 beats per minute (Fridericia)
    inferior_st: Setting = None  # mV, which two of II, III and aVF reach 60 ms after QRS
    anterior_st: Setting = None  # mV, which two of V1 to V4 reach
    voltage: Setting = None  # mV, S in V1 and R in V5 or V6 (Sokolow-Lyon), by left ventricular forces

    def choose(self, name: str, drawn: jax.Array) -> jax.Array:
        """What is set, else what was drawn."""
        value = getattr(self, name)
        return drawn if value is None else jnp.where(jnp.isnan(value), drawn, value)

    def diagnose(self, present: jax.Array) -> jax.Array:
        """Pathologies `[len(PATHOLOGIES)]`, and ST elevation where its level is set: readers know the patient."""
        for level in (self.inferior_st, self.anterior_st):
            if level is not None:
                present = present.at[_ELEVATION].max(~jnp.isnan(level))
        return present


NOTHING = Interventions()


def set_amplitudes(
    beat: Beat, interventions: Interventions, intervals: Intervals, places: jax.Array, limbs: jax.Array
) -> Beat:
    """The beat with voltage and ST levels as set; see `leads.draw_places` for the electrodes."""

    def measure_beat(changed: Beat) -> Measures:
        return measure(changed, intervals, places, limbs)

    if interventions.voltage is not None:
        beat = _set_voltage(beat, jnp.asarray(interventions.voltage), measure_beat)
    for wall in _WALL_LEADS:
        level = getattr(interventions, f"{wall}_st")
        beat = beat if level is None else _set_st(beat, level, wall, measure_beat)
    return beat


def _set_voltage(beat: Beat, voltage: jax.Array, measure_beat: Callable[[Beat], Measures]) -> Beat:
    """The beat whose left ventricular forces are larger by the factor that gives this voltage."""

    def scale(factor: jax.Array) -> Beat:
        larger = 1 + (factor - 1) * jnp.asarray(LEFT_FORCES)[:, None]
        return beat._replace(qrs=beat.qrs._replace(dipole=beat.qrs.dipole * larger, chest=beat.qrs.chest * larger))

    def read_index(factor: jax.Array) -> jax.Array:
        found = measure_beat(scale(factor))
        return found.s[_V1] + jnp.maximum(found.r[_V5], found.r[_V6])

    factors = jnp.asarray(_FACTORS)
    indices = jax.lax.cummax(jax.vmap(read_index)(factors))  # R may first become smaller
    return scale(jnp.where(jnp.isnan(voltage), 1.0, jnp.interp(voltage, indices, factors)))


def _set_st(beat: Beat, level: Setting, wall: str, measure_beat: Callable[[Beat], Measures]) -> Beat:
    """The beat whose ST segment has so much more towards a wall that two of its leads reach a level."""
    towards = jnp.asarray(WALLS[INFARCTED.index(wall)], jnp.float32)
    where = np.array([LEADS.index(name) for name in _WALL_LEADS[wall]])

    def add(size: float | jax.Array) -> Beat:
        return beat._replace(t=beat.t._replace(dipole=beat.t.dipole.at[_ST_BELL].add(size * towards)))

    usual, raised = (measure_beat(add(size)).st[where] for size in (0.0, 1.0))
    size = jnp.sort((level - usual) / (raised - usual))[1]  # of the second lead to reach it: levels are linear in size
    return add(jnp.where(jnp.isnan(level), 0.0, size))
