"""From the heart's sources to twelve leads: the places of electrodes, and their potentials.

The leads of a source in the heart's centre are those of Dower et al. 1980 (Clin Cardiol 3:87). In a homogeneous
conductor the lead vector of a chest electrode at e for a dipole at r is (e - r) / |e - r|^3; each of Dower's chest
vectors defines such a place, so that sources elsewhere in the heart, and displaced electrodes, have vectors of their
own. So twelve leads hold more than three independent signals, as real ones do.

Axes: x to the left, y to the feet, z to the back; centimetres.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.recording import LEADS, LIMB_LEADS
from ecg_jax.simulation import DOWER
from ecg_jax.simulation.draws import Draws

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
_CHEST = ELECTRODES[3:]
_CHEST_VECTORS = np.array([DOWER[lead] for lead in _CHEST])
_LENGTHS = np.linalg.norm(_CHEST_VECTORS, axis=1, keepdims=True)
_NEAREST = 8.0  # cm from the heart's centre to the nearest chest electrode; sets the scale of the others
_STRENGTH = _NEAREST**2 * _LENGTHS.max()
PLACES = _CHEST_VECTORS / _LENGTHS * np.sqrt(_STRENGTH / _LENGTHS)  # [6, 3] cm
# Potentials of the limb electrodes against their mean, from leads I and II.
_LIMB_FROM_LEADS = np.array([[-1, -1], [2, -1], [-1, 2]]) / 3


def _derive() -> np.ndarray:
    """`[9, 12]`: twelve leads from electrodes, by Einthoven, Goldberger and Wilson's central terminal."""
    one, two = np.zeros((2, len(ELECTRODES)))
    one[:2] = -1, 1
    two[[0, 2]] = -1, 1
    rows = []
    for lead in LEADS:
        if lead in LIMB_LEADS:
            share = LIMB_LEADS[lead]
            rows.append(share[0] * one + share[1] * two)
        else:
            row = np.zeros(len(ELECTRODES))
            row[:3] = -1 / 3
            row[ELECTRODES.index(lead)] = 1
            rows.append(row)
    return np.array(rows).T


TO_TWELVE = _derive().astype(np.float32)

# Pairs of cables that are confused, and how often they are among such confusions.
SWAPS = (("RA", "LA"), ("RA", "LL"), ("LA", "LL"), ("V1", "V2"), ("V2", "V3"), ("V4", "V5"))
_SWAP_WEIGHTS = (0.4, 0.05, 0.15, 0.2, 0.1, 0.1)


def draw_places(draws: Draws, misplacement: float | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draws the places of V1 to V6 on a chest, `[6, 3]` cm, and leads I and II as vectors, `[2, 3]`.

    `misplacement` is the standard deviation of each chest electrode's place in centimetres; V1 and V2 are often an
    intercostal space or two too high (Rajaganeshan et al. 2008, Int J Clin Pract 62:65).
    """
    size = draws.lognormal(1.0, 0.03)  # of the chest: its square, inverted, scales the chest leads
    places = PLACES * size + misplacement * draws.normal(count=18).reshape(6, 3)
    high = jnp.where(draws.flip(0.06), draws.uniform(2.0, 5.0), 0.0)
    places = places.at[:2, 1].add(-high)
    limbs = jnp.array([DOWER["I"], DOWER["II"]]) + draws.normal(0.0, 0.03, 6).reshape(2, 3)
    return places @ draws.rotation(0.04).T, limbs


def project(dipoles: jax.Array, origins: jax.Array, places: jax.Array, limbs: jax.Array) -> jax.Array:
    """Potentials of the electrodes against Wilson's central terminal, `[N, 9]` mV in the order of `ELECTRODES`.

    Of dipoles `[N, 3]` mV at origins `[N, 3]` cm; see `draw_places` for the electrodes.
    """
    away = places[None] - origins[:, None]
    distance = jnp.maximum(jnp.linalg.norm(away, axis=-1, keepdims=True), 4.0)
    chest = jnp.sum(_STRENGTH * away / distance**3 * dipoles[:, None], axis=-1)
    return jnp.concatenate([dipoles @ limbs.T @ _LIMB_FROM_LEADS.T, chest], axis=-1)


def draw_swap(draws: Draws, probability: float | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draws whether two cables are confused, and the resulting permutation of electrodes, `[9, 9]`."""
    index = draws.choose(_SWAP_WEIGHTS)
    matrices = np.repeat(np.eye(len(ELECTRODES), dtype=np.float32)[None], len(SWAPS), 0)
    for number, pair in enumerate(SWAPS):
        one, two = map(ELECTRODES.index, pair)
        matrices[number][[one, two]] = matrices[number][[two, one]]
    is_swapped = draws.flip(probability)
    return is_swapped, jnp.where(is_swapped, jnp.asarray(matrices)[index], jnp.eye(len(ELECTRODES)))
