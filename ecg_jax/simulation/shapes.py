"""The shape of a patient's beats, and how it is distributed among people whose ECG is normal.

A shape determines bells (see `vectorcardiogram`). `normal_beats.npz` holds its distribution: normal, with a
mean that depends on age and sex. It was estimated by
`experiments/fit_beats.py` from the median beats of normal ECGs in PTB-XL's folds 1 to 8 (Wagner et al. 2020, Sci Data
7:154, CC BY 4.0), so that amplitudes, R progression and T waves differ, and go together, as they do among people.
"""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.simulation.draws import Draws

QRS_BELLS, P_BELLS = 6, 2
T_BELLS = 4  # its body, its foot, the ST segment, the U wave
_FURTHEST = 2.6  # standard deviations
# The covariance of small waves includes errors of their estimates: the part of the standard deviation that is kept.
_KEPT_QRS = np.array([0.8, 0.8, 1.0, 0.8, 0.7, 0.7])  # of its bells
_KEPT_ST, _KEPT_P, _KEPT_P_CHEST = 0.7, 0.7, 0.5
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "normal_beats.npz")


Values = Any  # an array of JAX, or of NumPy


class Shape(NamedTuple):
    """Times and widths in parts of the wave's duration, dipoles in mV."""

    qrs_time: Values  # `[6]`
    qrs_width: Values  # `[6]`, natural logarithm
    qrs_dipole: Values  # `[6, 3]`
    qrs_chest: Values  # `[6, 6]` mV, what V1 to V6 see beside the dipole
    t_dipole: Values  # `[4, 3]` of its body, its foot, the ST segment, the U wave
    t_chest: Values  # `[4, 6]` mV
    t_fall: Values  # logarithm of the width in seconds after the top, at 70 beats per minute
    t_rise: Values  # logarithm of how much wider it is before the top
    p_time: Values  # `[2]`
    p_width: Values  # `[2]`, logarithm
    p_dipole: Values  # `[2, 3]`
    p_chest: Values  # `[2, 6]` mV


# Of its fields.
SIZES: tuple[tuple[int, ...], ...] = (
    (6,), (6,), (6, 3), (6, 6), (4, 3), (4, 6), (), (), (2,), (2,), (2, 3), (2, 6)
)  # fmt: skip
SIZE = sum(int(np.prod(size)) for size in SIZES)


def unflatten(values: Values) -> Shape:
    """A shape from `[SIZE]`."""
    ends = np.cumsum([int(np.prod(size)) for size in SIZES]).tolist()
    return Shape(*(values[end - int(np.prod(size)) : end].reshape(size) for end, size in zip(ends, SIZES, strict=True)))


def scale(values: Values, sign: float) -> Values:
    """`[SIZE + 3]`: sizes of QRS, T and P, then a shape that is divided (`sign` -1) or multiplied (1) by them.

    People differ by factors in how large their waves are, and by normal numbers in the rest. A size is the logarithm of
    the root of the sum of squares of a wave's dipoles.
    """
    numpy = np if isinstance(values, np.ndarray) else jnp  # so that importing this module starts no device
    sizes, shape = values[:3], unflatten(values[3:])
    qrs, t, p = numpy.exp(sign * sizes)
    scaled = shape._replace(
        qrs_dipole=shape.qrs_dipole * qrs,
        qrs_chest=shape.qrs_chest * qrs,
        t_dipole=shape.t_dipole * t,
        t_chest=shape.t_chest * t,
        p_dipole=shape.p_dipole * p,
        p_chest=shape.p_chest * p,
    )
    return numpy.concatenate([sizes, *(part.reshape(-1) for part in scaled)])


with np.load(FILE) as _stored:
    _NORMAL: dict[str, np.ndarray] = dict(_stored)
MEAN = unflatten(scale(_NORMAL["mean"], 1.0)[3:])  # of a woman of 55


def _keep() -> np.ndarray:
    """`[SIZE + 3]`: the factor of each parameter's standard deviation."""
    shape = unflatten(np.ones(SIZE))
    shape.qrs_dipole[:] = _KEPT_QRS[:, None]
    shape.qrs_chest[:] = _KEPT_QRS[:, None]
    shape.t_dipole[2] = shape.t_chest[2] = _KEPT_ST
    shape.p_dipole[:] = _KEPT_P
    shape.p_chest[:] = _KEPT_P_CHEST
    return np.concatenate([[1, 1, _KEPT_P], *(part.reshape(-1) for part in shape)])


_KEPT = _keep()


def draw_shape(draws: Draws, age: jax.Array, is_male: jax.Array, spread: float | jax.Array) -> Shape:
    """Draws the shape of a normal heart's beats; `spread` scales how far patients differ."""
    own = jnp.clip(draws.normal(count=SIZE + 3), -_FURTHEST, _FURTHEST) @ _NORMAL["factor"] * _KEPT
    values = _NORMAL["mean"] + _NORMAL["age"] * (age - 55) / 15 + _NORMAL["male"] * is_male + spread * own
    return unflatten(scale(values, 1.0)[3:])
