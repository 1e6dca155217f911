"""Measures of a beat without noise: amplitudes per lead, as a reader with a ruler finds them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ecg_jax.simulation import leads
from ecg_jax.simulation.conduction import Intervals
from ecg_jax.simulation.vectorcardiogram import Beat, Bells, ring, see

_QRS_TIMES, _T_TIMES, _P_TIMES = 56, 40, 24
_CLEAR = 0.03  # mV, the least deflection


class Measures(NamedTuple):
    """Of the twelve leads in the order of `recording.LEADS`, `[12]` each, in millivolts and seconds."""

    r: jax.Array  # the highest point of QRS; 0 where it has no positive part
    q: jax.Array  # how far down QRS goes before R; all of it where there is no R
    q_width: jax.Array  # seconds for which it does
    s: jax.Array  # how far down QRS goes after R
    st: jax.Array  # 60 ms after the end of QRS
    t: jax.Array  # of the T wave, the point furthest from the baseline, with its sign
    p: jax.Array  # of the P wave
    p_terminal: jax.Array  # seconds times millivolts of the P wave's last part, if it is negative; upwards
    axis: jax.Array  # degrees in the frontal plane, of the area of QRS (a scalar)


def measure(beat: Beat, intervals: Intervals, places: jax.Array, limbs: jax.Array) -> Measures:
    """Measures a beat with these intervals; see `leads.draw_places` for the electrodes."""
    qrs_seconds, p_seconds, t_peak = intervals.qrs, intervals.p, beat.t_peak

    def draw(bells: Bells, since: jax.Array) -> jax.Array:
        return ring(bells, since) @ see(bells, places, limbs) @ jnp.asarray(leads.TO_TWELVE)

    step = 1.25 * qrs_seconds / _QRS_TIMES
    complexes = draw(beat.qrs, (jnp.arange(_QRS_TIMES) - 0.1 * _QRS_TIMES) * step)
    number = jnp.arange(_QRS_TIMES)[:, None]
    r = jnp.maximum(jnp.max(complexes, axis=0), 0.0)
    top = jnp.where(r > _CLEAR, jnp.argmax(complexes, axis=0), _QRS_TIMES)
    before, after = number < top, number > top
    between = qrs_seconds + 0.07 + (t_peak - qrs_seconds + 0.05) * jnp.linspace(0.0, 1.0, _T_TIMES)
    waves = draw(beat.t, between - t_peak)
    atrial = draw(beat.p, p_seconds * jnp.linspace(-0.1, 1.15, _P_TIMES))
    terminal = jnp.where(jnp.arange(_P_TIMES)[:, None] > _P_TIMES // 2, jnp.maximum(-atrial, 0.0), 0.0)
    area = jnp.sum(complexes, axis=0)
    return Measures(
        r=r,
        q=jnp.max(jnp.where(before, -complexes, 0.0), axis=0, initial=0.0),
        q_width=jnp.sum(before & (complexes < -_CLEAR), axis=0) * step,
        s=jnp.max(jnp.where(after, -complexes, 0.0), axis=0, initial=0.0),
        st=draw(beat.t, qrs_seconds + 0.06 - t_peak[None])[0],
        t=_furthest(waves),
        p=_furthest(atrial),
        p_terminal=jnp.max(terminal, axis=0) * jnp.sum(terminal > 0.01, axis=0) * 1.25 * p_seconds / _P_TIMES,
        axis=jnp.degrees(jnp.arctan2(2 / jnp.sqrt(3.0) * area[5], area[0])),
    )


def _furthest(waves: jax.Array) -> jax.Array:
    """The value of `[T, leads]` furthest from 0, with its sign."""
    return jnp.take_along_axis(waves, jnp.argmax(jnp.abs(waves), axis=0)[None], axis=0)[0]
