"""The heart's electrical activity of one beat: bells in time, each a dipole at a place of its own.

As in McSharry et al. 2003 (IEEE Trans Biomed Eng 50:289) waves are sums of Gaussians, here in three dimensions and
with two widths each, as T waves rise slower than they fall. Times count from the onset of the P wave, of the QRS
complex, and from the top of the T wave. Dipoles are in millivolts, seen by a lead of unit strength; x to the left, y to
the feet, z to the back; origins in centimetres from the heart's centre.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation import conduction as conduction_lib
from ecg_jax.simulation import leads, rhythm, shapes
from ecg_jax.simulation.conduction import CONDUCTIONS, Intervals
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.patients import Patient
from ecg_jax.simulation.shapes import QRS_BELLS, T_BELLS, Shape

# QRS: (time, width) in parts of its duration, dipole, origin. Sequence of activation: septum, apex, free wall, base.
_Bell = tuple[float, float, tuple[float, float, float], tuple[float, float, float]]
_QRS: dict[str, tuple[_Bell, ...]] = {
    "normal": (  # the start of the fit of `shapes`; the simulator uses only its origins
        (0.17, 0.07, (-0.15, -0.06, -0.20), (-0.5, 0.0, -1.0)),
        (0.33, 0.068, (0.34, 0.32, -0.30), (0.5, 1.0, -1.5)),
        (0.45, 0.074, (1.20, 0.68, -0.05), (1.5, 0.5, 0.0)),
        (0.58, 0.072, (0.26, 0.06, 0.78), (1.0, -0.5, 1.0)),
        (0.74, 0.065, (-0.10, -0.16, 0.24), (0.0, -2.0, 1.0)),
        (0.95, 0.07, (-0.03, -0.03, -0.03), (-1.0, -2.0, -0.5)),
    ),
    "RBBB": (  # the left ventricle as usual, then the right one, slowly
        (0.11, 0.06, (-0.15, -0.06, -0.20), (-0.5, 0.0, -1.0)),
        (0.21, 0.045, (0.30, 0.28, -0.20), (0.5, 1.0, -1.0)),
        (0.30, 0.056, (1.05, 0.42, -0.32), (1.5, 0.5, 0.0)),
        (0.40, 0.060, (0.16, 0.02, 0.00), (1.0, -0.5, 1.0)),
        (0.64, 0.095, (-0.48, 0.02, -0.52), (-2.0, 0.0, -1.5)),
        (0.90, 0.070, (-0.44, -0.10, -0.34), (-2.0, -1.5, -1.0)),
    ),
    "LBBB": (  # the right ventricle, through the septum, then the left one, slowly
        (0.12, 0.07, (0.06, 0.05, -0.10), (-1.5, 0.5, -1.5)),
        (0.26, 0.085, (0.28, 0.14, 0.60), (-0.5, 0.5, -0.5)),
        (0.43, 0.095, (0.54, 0.08, 1.60), (1.0, 0.0, 0.5)),
        (0.61, 0.10, (0.72, -0.10, 1.50), (2.0, 0.0, 1.0)),
        (0.78, 0.078, (0.40, -0.12, 0.60), (2.0, -1.0, 1.0)),
        (0.93, 0.07, (0.05, -0.05, 0.05), (1.0, -2.0, 1.0)),
    ),
    "LAFB": (  # downwards first, then up and to the left
        (0.16, 0.059, (-0.06, 0.12, -0.14), (0.0, 1.0, -0.5)),
        (0.30, 0.068, (0.30, 0.10, -0.12), (0.5, 1.0, -1.0)),
        (0.45, 0.077, (0.95, -0.22, 0.20), (1.5, 0.0, 0.0)),
        (0.61, 0.077, (0.26, -0.58, 0.50), (1.5, -1.0, 0.5)),
        (0.79, 0.063, (-0.14, -0.24, 0.22), (0.5, -2.0, 1.0)),
        (0.95, 0.063, (-0.03, -0.05, 0.02), (-1.0, -2.0, -0.5)),
    ),
    "LPFB": (  # upwards first, then down and to the right
        (0.16, 0.059, (0.22, -0.20, -0.14), (0.5, -0.5, -0.5)),
        (0.30, 0.068, (0.18, 0.28, -0.22), (0.5, 1.0, -1.0)),
        (0.45, 0.077, (0.12, 1.10, 0.08), (1.0, 0.5, 0.0)),
        (0.61, 0.072, (-0.36, 0.74, 0.44), (0.5, 1.0, 1.0)),
        (0.79, 0.063, (-0.18, 0.10, 0.14), (0.0, 0.0, 1.0)),
        (0.95, 0.063, (-0.03, -0.02, -0.02), (-1.0, -2.0, -0.5)),
    ),
}
# Late right ventricle on top of a hemiblock; incomplete blocks lie between normal and complete ones.
_LATE_RIGHT = _QRS["RBBB"][4:]
_QRS["RBBB_LAFB"] = tuple((0.68 * t, 0.75 * w, v, o) for t, w, v, o in _QRS["LAFB"][:4]) + _LATE_RIGHT
_QRS["RBBB_LPFB"] = tuple((0.68 * t, 0.75 * w, v, o) for t, w, v, o in _QRS["LPFB"][:4]) + _LATE_RIGHT
# A part of the right ventricle is late, after the beat of a normal heart.
_INCOMPLETE_RIGHT = np.zeros((QRS_BELLS, 3), np.float32)
_INCOMPLETE_RIGHT[3:] = (-0.03, 0.0, -0.13), (-0.10, 0.0, -0.30), (-0.10, -0.02, -0.14)
_INCOMPLETE_LEFT = 0.6  # of the way from normal activation to left bundle branch block


def _flatten(bells: tuple[_Bell, ...]) -> np.ndarray:
    """`[bells, 8]`: time, width, dipole, origin."""
    return np.array([(t, w, *v, *o) for t, w, v, o in bells], np.float32)


def _tabulate() -> np.ndarray:
    """`[conductions, bells, 8]`."""
    rows = []
    for name in CONDUCTIONS:
        row = _flatten(_QRS.get(name, _QRS["normal"]))
        if name not in _QRS or name == "normal":  # as the beats of normal hearts are
            row[:, 0], row[:, 1], row[:, 2:5] = (
                shapes.MEAN.qrs_time,
                np.exp(shapes.MEAN.qrs_width),
                shapes.MEAN.qrs_dipole,
            )
        if name == "incomplete_RBBB":
            row[:, 2:5] += _INCOMPLETE_RIGHT
        if name == "incomplete_LBBB":
            row = (1 - _INCOMPLETE_LEFT) * row + _INCOMPLETE_LEFT * _flatten(_QRS["LBBB"])
        rows.append(row)
    return np.stack(rows)


_QRS_TABLE = _tabulate()
_QRS_ORIGINS = 0.6 * _flatten(_QRS["normal"])[:, 5:8]
_P_ORIGINS = np.array([[-2.0, -3.5, 0.0], [1.0, -3.5, 2.0]], np.float32)
APEX = np.array([0.85, 0.45, -0.15], np.float32)
APEX /= np.linalg.norm(APEX)
_T_LOST_EVERYWHERE = 0.35
_T_ORIGIN = (0.8, 0.0, -0.3)
_P_IN_CHEST = 1.2  # factor of P in V1 to V6 beside its dipole
_P_SIZE = 1.3  # median beats, of which shapes were estimated, are aligned to QRS: P waves are smeared

NORMAL_QRS = _QRS["normal"]
LEFT_FORCES = np.array([0.0, 0.1, 0.9, 1.2, 0.3, 0.0], np.float32)  # share of the left ventricle in bells of QRS
# T where the left ventricle is late: opposed to QRS; where the right one is: to the back.
_T_RBBB, _T_LBBB = (0.34, 0.18, 0.12), (-0.36, -0.02, -0.62)
_T_INCOMPLETE_RIGHT = np.array([-0.15, -0.10, -0.04, 0.0, 0.0, 0.0], np.float32)  # in V1 to V6
QT = 0.405  # seconds at 60 beats per minute, of the median beat


class Bells(NamedTuple):
    """Bells of one kind of wave."""

    centre: jax.Array  # `[N]` seconds after the reference
    rise: jax.Array  # `[N]` seconds, the width before the top
    fall: jax.Array  # `[N]` seconds, the width after it
    dipole: jax.Array  # `[N, 3]` mV
    origin: jax.Array  # `[N, 3]` cm
    chest: jax.Array  # `[N, 6]` mV, what V1 to V6 see beside the dipole


class Changes(NamedTuple):
    """Effects of disease on a beat; see `pathology`."""

    left: jax.Array  # factor of left ventricular forces
    right: jax.Array  # `[3]` mV, added to them
    infarct: jax.Array  # `[3]` mV, added early in QRS: away from dead muscle
    size: jax.Array  # factor of QRS, ST and T
    st: jax.Array  # `[3]` mV, the ST segment
    t_size: jax.Array  # factor of the T wave
    t_strain: jax.Array  # 0 to 1: how far the T wave is turned against QRS
    t_width: jax.Array  # factor of the T wave's widths
    t_local: jax.Array  # `[3]` mV, added to the T wave: away from what is ischaemic
    u: jax.Array  # factor of the U wave
    p_right: jax.Array  # factor of the right atrium's part of P
    p_left: jax.Array  # factor of the left atrium's part of P
    notch: jax.Array  # 0 to 1: how much the QRS complex is splintered
    turn: jax.Array  # radians in the frontal plane by which QRS is turned, towards the feet
    rotation: jax.Array  # radians in the horizontal plane by which the first half of QRS is turned to the back
    # Share of `infarct` that acts on the first bell, too: whether the first R wave of the chest leads is lost with the
    # others.
    initial: jax.Array
    t_chest: jax.Array  # `[6]` mV, added to the T wave in V1 to V6


class Beat(NamedTuple):
    """The waves of a patient's beats; `t_peak` is where they have their top, in seconds after the onset of QRS."""

    p: Bells
    p_premature: Bells
    qrs: Bells
    t: Bells
    t_peak: jax.Array
    qrs_ectopic: Bells
    t_ectopic: Bells
    t_peak_ectopic: jax.Array


def draw_beat(
    draws: Draws, patient: Patient, intervals: Intervals, changes: Changes, spread: float | jax.Array
) -> Beat:
    """Draws the beat of a patient; `spread` scales how far patients differ.

    The ventricles are paced from the right one's apex. In junctional rhythm premature P waves come from below, upside
    down.
    """
    own = shapes.draw_shape(draws, patient.age, patient.is_male, spread)
    shape, widths, origins = _draw_qrs(draws, patient, own, changes)
    body = draws.rotation(0.08 * spread)  # the heart's place in the chest
    size = draws.lognormal(1.06, 0.05 * spread) * changes.size
    t_dipole, t_chest = _shape_t(patient, own, changes, jnp.sum(shape.qrs_dipole * widths[:, None], axis=0))
    shape = shape._replace(
        qrs_dipole=size * shape.qrs_dipole @ body.T,
        qrs_chest=size * shape.qrs_chest,
        t_dipole=size * t_dipole @ body.T,
        t_chest=size * t_chest,
    )
    qrs = create_qrs(shape, intervals.qrs)._replace(origin=origins @ body.T)
    fall = narrow(own.t_fall, patient.mean_interval) * changes.t_width
    t_peak = intervals.qt - 2.1 * fall
    t = create_t(shape, fall, jnp.maximum(t_peak - intervals.qrs, 0.05))

    atria = _P_SIZE * jnp.stack([changes.p_right, changes.p_left])[:, None]
    p = create_p(own._replace(p_dipole=own.p_dipole * atria, p_chest=_P_IN_CHEST * own.p_chest * atria), intervals.p)
    is_retrograde = patient.rhythm == rhythm.JUNCTIONAL
    turn = jnp.where(is_retrograde, -jnp.eye(3), draws.rotation(1.4) * draws.lognormal(0.9, 0.3))
    p_premature = p._replace(dipole=p.dipole @ turn.T, chest=jnp.where(is_retrograde, -p.chest, 0.3 * p.chest))
    qrs_ectopic, t_ectopic, t_peak_ectopic = _draw_ectopic(
        draws, intervals, size, size * draws.lognormal(0.85, 0.2), fall
    )
    return Beat(p, p_premature, qrs, t, t_peak, qrs_ectopic, t_ectopic, t_peak_ectopic)


def _draw_qrs(draws: Draws, patient: Patient, own: Shape, changes: Changes) -> tuple[Shape, jax.Array, jax.Array]:
    """The patient's shape with QRS after conduction and disease, the widths of its bells and their origins."""
    conduction, is_paced = patient.conduction, patient.is_paced
    is_plain = jnp.isin(conduction, jnp.array(conduction_lib.LIKE_NORMAL)) & ~is_paced
    paced = jnp.asarray(_flatten(_QRS["LBBB"]))
    paced = paced.at[:, 3].set(-0.7 * paced[:, 3] - 0.2).at[0, 2:5].set(jnp.array([0.1, -0.15, 0.1]))
    table = jnp.where(is_paced, paced, jnp.asarray(_QRS_TABLE)[conduction])
    share = jnp.where(is_plain, 1.0, 0.6)  # of the patient's own shape, less where conduction is abnormal

    def blend(usual: jax.Array, value: jax.Array, mean: jax.Array) -> jax.Array:
        return usual + share * (value - mean)

    times = blend(table[:, 0], own.qrs_time, shapes.MEAN.qrs_time)
    widths = jnp.exp(blend(jnp.log(table[:, 1]), own.qrs_width, shapes.MEAN.qrs_width))
    vectors = blend(table[:, 2:5], own.qrs_dipole, shapes.MEAN.qrs_dipole)
    chest = blend(jnp.where(is_plain, shapes.MEAN.qrs_chest, 0.0), own.qrs_chest, shapes.MEAN.qrs_chest)
    origins = 0.6 * table[:, 5:8]
    # Pre-excitation begins with a slow wave from the end of the accessory pathway.
    is_preexcited = (conduction == conduction_lib.PREEXCITED) & ~is_paced
    delta = draws.rotation(1.0) @ jnp.array([0.30, 0.15, 0.05])
    times = jnp.where(is_preexcited, jnp.concatenate([jnp.array([0.2]), 0.3 + 0.7 * times[1:]]), times)
    widths = jnp.where(is_preexcited, jnp.concatenate([jnp.array([0.13]), 0.75 * widths[1:]]), widths)
    vectors = vectors.at[0].set(jnp.where(is_preexcited, delta, vectors[0]))
    # Disease; then notches, which push forces of neighbouring bells apart.
    weight = jnp.array([0.0, 0.6, 1.0, 1.0, 0.3, 0.0])[:, None]
    larger = 1 + (changes.left - 1) * jnp.asarray(LEFT_FORCES)[:, None]
    chest = chest * larger
    vectors = vectors * larger + weight * changes.right / 2
    lost = jnp.array([0.0, 1.0, 0.6, 0.1, 0.0, 0.0]).at[0].set(0.7 * changes.initial)
    vectors = vectors + lost[:, None] * changes.infarct
    slurred = draws.flip(0.5) * draws.uniform(0.2, 0.8)  # as in many delayed complexes
    notch = jnp.where(conduction == conduction_lib.DELAYED, jnp.maximum(changes.notch, slurred), changes.notch)
    vectors = vectors + notch * 0.35 * draws.normal(count=3 * QRS_BELLS).reshape(QRS_BELLS, 3)
    widths = widths * (1 - 0.25 * notch)
    cos, sin = jnp.cos(changes.turn), jnp.sin(changes.turn)
    vectors = vectors @ jnp.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    cos, sin = jnp.cos(changes.rotation), jnp.sin(changes.rotation)
    turned = vectors @ jnp.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    vectors = jnp.where((jnp.arange(QRS_BELLS) < QRS_BELLS // 2)[:, None], turned, vectors)
    shape = own._replace(qrs_time=times, qrs_width=jnp.log(widths), qrs_dipole=vectors, qrs_chest=chest)
    return shape, widths, origins


def _shape_t(patient: Patient, own: Shape, changes: Changes, area: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The T wave and its surroundings after conduction and disease, `[4, 3]` and `[4, 6]`, from the area of QRS `[3]`.

    Where a ventricle is late, T depends on the late forces.
    """
    conduction, is_paced = patient.conduction, patient.is_paced
    is_late_left = jnp.isin(conduction, jnp.array(conduction_lib.LEFT_BLOCKS)) | is_paced
    late_right = (conduction == conduction_lib.RBBB) | (conduction >= conduction_lib.RBBB_LAFB)
    other = jnp.where(is_late_left, jnp.array(_T_LBBB), jnp.array(_T_RBBB))
    is_other = is_late_left | late_right
    main, foot, st, u = own.t_dipole
    main = jnp.where(is_other, other + 0.5 * (main - shapes.MEAN.t_dipole[0]), main)
    against = jnp.array([-0.34, -0.34, -0.15]) * area / (jnp.linalg.norm(area) + 1e-3)
    kept = (1 - changes.t_strain) * changes.t_size
    # T becomes smaller mainly towards the apex: in V1 to V3 it stays upright longer.
    lost_t = jnp.maximum(1 - kept, 0.0)
    everywhere = jnp.where(kept < 1, 1 - _T_LOST_EVERYWHERE * lost_t, kept)
    to_apex = (1 - _T_LOST_EVERYWHERE) * lost_t * (main @ jnp.asarray(APEX)) * jnp.asarray(APEX)
    main = everywhere * main - to_apex + changes.t_strain * against + changes.t_local
    dipoles = jnp.stack(
        [
            main,
            jnp.where(is_other, 0.2 * main, everywhere * foot),
            jnp.where(is_late_left, 0.4 * main, st) + changes.st,
            changes.u * (u + jnp.where(changes.u > 1, 0.02, 0.0) * jnp.array([0.6, 0.4, -0.7])),
        ]
    )
    in_chest = jnp.where(jnp.arange(6) < 3, everywhere, kept) * jnp.where(is_other, 0.7, 1.0)
    in_chest = jnp.where(jnp.array([True, True, False, False])[:, None], in_chest, 1.0)
    usual_chest = jnp.where(is_other, shapes.MEAN.t_chest, 0.0)
    t_chest = in_chest * (own.t_chest - usual_chest)
    is_incomplete = (conduction == conduction_lib.INCOMPLETE_RBBB) & ~is_paced
    t_chest = t_chest.at[0].add(changes.t_chest + is_incomplete * _T_INCOMPLETE_RIGHT)
    t_chest = t_chest.at[2].add(is_incomplete * 0.35 * _T_INCOMPLETE_RIGHT)
    return dipoles, t_chest


def create_qrs(shape: Shape, seconds: jax.Array) -> Bells:
    """The bells of a QRS complex of this duration."""
    width = jnp.exp(shape.qrs_width) * seconds
    return Bells(shape.qrs_time * seconds, width, width, shape.qrs_dipole, jnp.asarray(_QRS_ORIGINS), shape.qrs_chest)


def create_p(shape: Shape, seconds: jax.Array) -> Bells:
    """The bells of a P wave of this duration."""
    width = jnp.exp(shape.p_width) * seconds
    return Bells(shape.p_time * seconds, width, width, shape.p_dipole, jnp.asarray(_P_ORIGINS), shape.p_chest)


def create_t(shape: Shape, fall: jax.Array, from_end: jax.Array) -> Bells:
    """The bells of the T wave and what is around it; `from_end` is from the end of QRS to the top, in seconds."""
    rise = fall * jnp.exp(shape.t_rise)
    return Bells(
        centre=jnp.stack([0 * rise, -1.6 * rise, -0.55 * from_end, 2.1 * fall + 0.11]),
        rise=jnp.stack([rise, 1.3 * rise, 0.28 * from_end, 0 * rise + 0.03]),
        fall=jnp.stack([fall, rise, 0.45 * from_end, 0 * rise + 0.035]),
        dipole=shape.t_dipole,
        origin=jnp.tile(jnp.array(_T_ORIGIN), (T_BELLS, 1)),
        chest=shape.t_chest,
    )


def see(bells: Bells, places: jax.Array, limbs: jax.Array) -> jax.Array:
    """Potentials of the nine electrodes from each bell at its top, `[N, 9]` mV; see `leads.project`."""
    seen = leads.project(bells.dipole, bells.origin, places, limbs)
    return seen + jnp.pad(bells.chest, ((0, 0), (3, 0)))


def narrow(t_fall: jax.Array, mean_interval: jax.Array) -> jax.Array:
    """Seconds: the width of the T wave after its top; it narrows with the interval between beats."""
    return jnp.exp(t_fall) * jnp.cbrt(jnp.minimum(mean_interval, 1.2) / 0.85)


def _draw_ectopic(
    draws: Draws, intervals: Intervals, size: jax.Array, t_size: jax.Array, fall: jax.Array
) -> tuple[Bells, Bells, jax.Array]:
    """A beat that begins in one of the ventricles: wide, large, in any direction, with T opposed to it."""
    from_right = draws.flip(0.6)
    table = jnp.where(from_right, jnp.asarray(_flatten(_QRS["LBBB"])), jnp.asarray(_flatten(_QRS["RBBB"])))
    vectors = table[:, 2:5] * draws.lognormal(1.0, 0.35, QRS_BELLS)[:, None]
    turn = draws.rotation(0.8) * draws.lognormal(1.35, 0.25)
    dipole = jnp.maximum(size, 0.5) * vectors @ turn.T
    width = table[:, 1] * draws.lognormal(1.15, 0.1, QRS_BELLS) * intervals.qrs_ectopic
    qrs = Bells(table[:, 0] * intervals.qrs_ectopic, width, width, dipole, table[:, 5:8], jnp.zeros((QRS_BELLS, 6)))
    total = jnp.sum(dipole * table[:, 1:2], axis=0)
    t_vector = -draws.lognormal(0.45, 0.3) * jnp.maximum(t_size, 0.6) * total / (jnp.linalg.norm(total) + 1e-3)
    peak = intervals.qrs_ectopic + draws.uniform(0.13, 0.19)
    wide = 1.25 * fall
    t = Bells(
        centre=jnp.array([0.0, -1.5 * wide, -0.10, 0.2]),
        rise=jnp.array([1.5 * wide, 1.8 * wide, 0.05, 0.03]),
        fall=jnp.array([wide, 1.2 * wide, 0.05, 0.03]),
        dipole=jnp.stack([t_vector, 0.25 * t_vector, 0.15 * t_vector, 0 * t_vector]),
        origin=jnp.zeros((T_BELLS, 3)),
        chest=jnp.zeros((T_BELLS, 6)),
    )
    return qrs, t, peak


def ring(bells: Bells, since: jax.Array) -> jax.Array:
    """Height of each bell, `[T, N]` from 0 to 1, at times `[T]` since the reference."""
    distance = since[:, None] - bells.centre
    return jnp.exp(-0.5 * (distance / jnp.where(distance < 0, bells.rise, bells.fall)) ** 2)
