"""A cardiologist's statements on a simulated recording: published criteria, applied to measures with an error.

Sources: [AHA-II] Mason et al. 2007, J Am Coll Cardiol 49:1128 (statements); [AHA-III] Surawicz et al. 2009, 53:976
(conduction); [AHA-IV] Rautaharju et al. 2009, 53:982 (ST, T, QT); [AHA-V] Hancock et al. 2009, 53:992 (hypertrophy);
[UDMI] Thygesen et al. 2018, J Am Coll Cardiol 72:2231 (infarction); [HRS] Kusumoto et al. 2019, Circulation 140:e382.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax import statements
from ecg_jax.recording import LEADS
from ecg_jax.simulation import conduction, rhythm
from ecg_jax.simulation.draws import Draws
from ecg_jax.simulation.measures import Measures
from ecg_jax.simulation.pathology import PATHOLOGIES

CRITERIA: dict[str, str] = {
    "SR": "sinus rhythm, neither slow nor fast nor irregular",
    "SBRAD": "sinus rhythm below 60, 55 or 50 per minute, by the reader's convention",
    "STACH": "sinus rhythm above 100 per minute",
    "SARRH": "sinus rhythm whose intervals differ by more than 0.16 s",
    "AFIB": "irregular intervals, fibrillatory waves",
    "AFLT": "flutter waves",
    "SVTAC": "supraventricular tachycardia without visible P waves",
    "SVARR": "junctional rhythm",
    "PACE": "paced ventricles",
    "PVC": "a ventricular premature complex",
    "PAC": "an atrial premature complex",
    "BIGU": "every other beat premature",
    "1AVB": "PR above 200 ms [HRS]",
    "2AVB": "P waves that fail to conduct [HRS]",
    "3AVB": "atria and ventricles independent [HRS]",
    "CRBBB": "right bundle branch pattern, QRS of 120 ms or more [AHA-III]",
    "IRBBB": "right bundle branch pattern, QRS below 120 ms; some let it pass below 105 ms [AHA-III]",
    "CLBBB": "left bundle branch pattern, QRS of 120 ms or more [AHA-III]",
    "ILBBB": "left bundle branch pattern, QRS below 120 ms [AHA-III]",
    "LAFB": "left anterior fascicular pattern, axis left of -45 (some: -30) degrees, no inferior infarction [AHA-III]",
    "LPFB": "left posterior fascicular pattern, axis right of 90 degrees [AHA-III]",
    "IVCD": "QRS of 110 ms or more without the pattern of a bundle branch block [AHA-III]",
    "WPW": "PR below 120 ms and a delta wave [AHA-III]",
    "ASMI": "Q or QS in two of V1 to V3 of V2 to V4, or R in V3 of 0.3 mV or less, after infarction [UDMI]",
    "AMI": "as ASMI, and Q in V4 or V5",
    "ALMI": "as ASMI, and Q in two of I, aVL, V5, V6",
    "LMI": "Q of 30 ms and 0.1 mV in two of I, aVL, V5, V6 [UDMI]",
    "IMI": "Q of 30 ms and 0.1 mV in two of II, III, aVF [UDMI]",
    "ILMI": "as IMI, and as LMI",
    "PMI": "R above S and an upright T in V1 or V2, after infarction [UDMI]",
    "IPMI": "as IMI, and as PMI",
    "IPLMI": "as IMI, as LMI, and as PMI",
    "INJAS": "ST elevation of 0.2 mV in two of V1 to V4 [UDMI]",
    "INJAL": "ST elevation of 0.1 mV in two of I, aVL, V5, V6 [UDMI]",
    "INJIN": "ST elevation of 0.1 mV in two of II, III, aVF [UDMI]",
    "QWAVE": "Q of 30 ms and 0.1 mV in a lead, without infarction [UDMI]",
    "STE_": "ST elevation as INJ",
    "STD_": "ST depression of 0.05 mV in two leads of a wall [AHA-IV]",
    "NST_": "ST depression of 0.045 to 0.08 mV in two leads of a wall without ischaemia; some say so of low T [AHA-IV]",
    "INVT": "T inverted by 0.1 mV in two of I, II, aVL, V3 to V6 [AHA-IV]",
    "LOWT": "T below a tenth of R in two of I, II, V4 to V6 [AHA-IV]",
    "NDT": "LOWT, or T inverted by less than 0.1 mV there, without more [AHA-IV]",
    "ISC_": "ST depression of 0.08 mV or T inverted by 0.15 mV in two leads of more than one wall (after [AHA-IV]; "
    "limits as PTB-XL's readers seem to use)",
    "ISCAL": "the same, of I, aVL, V4 to V6",
    "ISCAS": "the same, of V2 to V4",
    "ISCIN": "the same, of II, III, aVF",
    "ISCIL": "as ISCAL and ISCIN, where the walls are named",
    "LNGQT": "QT by Fridericia above 450 ms in men, 460 ms in women [AHA-IV]",
    "DIG": "digitalis, scooped ST depression",
    "EL": "low or high potassium",
    "LVH": "VCLVH, and strain, or by both indices, or left atrial enlargement [AHA-V]",
    "VCLVH": "S V1 + R V5 or V6 of 3.5 mV, or S V3 + R aVL of 2.8 mV in men, 2.0 mV in women [AHA-V]",
    "RVH": "R V1 above 0.6 mV and above S V1, axis right of 90 degrees [AHA-V]",
    "LAO/LAE": "terminal force of P in V1 of 0.04 mm s, or P of 120 ms [AHA-V]",
    "RAO/RAE": "P of 0.25 mV in II [AHA-V]; most let it pass in whom nothing else points to it",
    "LVOLT": "QRS below 0.5 mV in all limb leads and below 1 mV in all chest leads [AHA-II]",
    "ABQRS": "a splintered QRS",
    "NORM": "no diagnostic statement, and no rhythm but that of the sinus node",
}
"""By code, when a simulated reader states it. A code that is not here is never stated."""

NAMES = tuple(CRITERIA)
_I, _II, _III, _AVR, _AVL, _AVF, _V1, _V2, _V3, _V4, _V5, _V6 = range(len(LEADS))
_LATERAL, _INFERIOR = np.array([_I, _AVL, _V5, _V6]), np.array([_II, _III, _AVF])
_ANTERIOR, _FRONT = np.array([_V2, _V3, _V4]), np.array([_I, _II, _AVL, _V3, _V4, _V5, _V6])
_APICAL = np.array([_I, _AVL, _V4, _V5, _V6])
_T_LEADS = np.array([_I, _II, _V4, _V5, _V6])


class Seen(NamedTuple):
    """What is read of a recording besides a beat."""

    rhythm: jax.Array  # index into `rhythm.RHYTHMS`
    conduction: jax.Array  # index into `conduction.CONDUCTIONS`
    rate: jax.Array  # per minute
    irregularity: jax.Array  # seconds, of sinus intervals: the longest less the shortest
    premature: jax.Array  # share of beats that are premature, from the ventricles and from the atria, `[2]`
    intervals: conduction.Intervals  # durations
    mean_interval: jax.Array  # seconds between beats
    is_male: jax.Array
    pathology: jax.Array  # `[len(PATHOLOGIES)]` bool


class _Reading(NamedTuple):
    """What a reader finds on a recording before stating anything."""

    seen: Seen  # with errors in rate and intervals, and QT corrected to 60 beats per minute (Fridericia)
    exact: Measures  # of its usual beat
    noisy: Measures  # the same with errors
    has: dict[str, jax.Array]  # whether the patient has each of `PATHOLOGIES`: readers know the patient
    is_sinus: jax.Array
    right: jax.Array  # a block of the right bundle branch, complete or not
    left: jax.Array  # of the left bundle branch
    right_complete: jax.Array
    left_complete: jax.Array
    preexcited: jax.Array
    is_masked: jax.Array  # infarction, ST and T cannot be read


_Statements = dict[str, jax.Array]


def read(draws: Draws, seen: Seen, exact: Measures, grey: float | jax.Array) -> jax.Array:
    """Applies the criteria to measures with errors; `[len(NAMES)]` bool, in the order of `NAMES`.

    Args:
        draws: Source of random numbers.
        seen: The recording.
        exact: Its usual beat.
        grey: Factor of the errors, whose standard deviations are 8 ms in PR, 5 ms in QRS, 10 ms in QT, 1.5 beats per
            minute, 5 degrees, 5 % and 0.01 mV of amplitudes. With 0, sinus bradycardia is always below 60.
    """
    reading = _measure(draws, seen, exact, grey)
    found = _state_rhythm(draws, reading, grey)
    lets_pass, left_limit = draws.flip(0.6), jnp.where(draws.flip(0.4), -30.0, -45.0)
    infarction, is_inferior = _state_infarction(draws, reading)
    found |= _state_conduction(reading, lets_pass, left_limit, is_inferior) | infarction
    found |= _state_repolarization(draws, reading) | _state_hypertrophy(draws, reading)
    wrong = [found[code] for code in statements.MEMBERS[statements.ABNORMAL] if code in found]
    found[statements.NORMAL] = ~jnp.any(jnp.stack(wrong))
    return jnp.stack([jnp.asarray(found[name], bool) for name in NAMES])


def _measure(draws: Draws, seen: Seen, exact: Measures, grey: float | jax.Array) -> _Reading:
    """Adds errors to the measures, and finds what of rhythm and conduction decides how the rest is read."""
    intervals = seen.intervals._replace(
        pr=seen.intervals.pr + draws.normal(0.0, 0.008 * grey),
        qrs=seen.intervals.qrs + draws.normal(0.0, 0.005 * grey),
        qt=seen.intervals.qt / jnp.cbrt(seen.mean_interval) + draws.normal(0.0, 0.010 * grey),
    )
    seen = seen._replace(intervals=intervals, rate=seen.rate + draws.normal(0.0, 1.5 * grey))
    axis = exact.axis + draws.normal(0.0, 5.0 * grey)

    def err(value: jax.Array) -> jax.Array:
        relative, absolute = draws.normal(count=2 * value.shape[0]).reshape(2, -1)
        return value * (1 + 0.05 * grey * relative) + 0.01 * grey * absolute

    amplitudes = {name: err(getattr(exact, name)) for name in ("r", "q", "s", "st", "t")}
    is_paced = seen.rhythm == rhythm.PACED
    right = jnp.isin(seen.conduction, jnp.array(conduction.RIGHT_BLOCKS)) & ~is_paced
    left = jnp.isin(seen.conduction, jnp.array(conduction.LEFT_BLOCKS)) & ~is_paced
    left_complete = left & (intervals.qrs >= 0.12)
    preexcited = (seen.conduction == conduction.PREEXCITED) & ~is_paced
    return _Reading(
        seen=seen,
        exact=exact,
        noisy=exact._replace(**amplitudes, axis=axis, p=exact.p * (1 + 0.05 * grey * draws.normal())),
        has=dict(zip(PATHOLOGIES, seen.pathology, strict=True)),
        is_sinus=seen.rhythm == rhythm.SINUS,
        right=right,
        left=left,
        right_complete=right & (intervals.qrs >= 0.12),
        left_complete=left_complete,
        preexcited=preexcited,
        is_masked=left_complete | is_paced | preexcited,
    )


def _state_rhythm(draws: Draws, reading: _Reading, grey: float | jax.Array) -> _Statements:
    """Statements on rhythm and premature beats."""
    seen, sinus, rate = reading.seen, reading.is_sinus, reading.seen.rate
    slow = jnp.where(grey > 0, jnp.array([60.0, 55.0, 50.0])[draws.choose([0.5, 0.2, 0.3])], 60.0)
    ventricular, atrial = seen.premature
    found = {
        "SBRAD": sinus & (rate < slow),
        "STACH": sinus & (rate > 100),
        "SARRH": sinus & (seen.irregularity > 0.16),
        "AFIB": seen.rhythm == rhythm.FIBRILLATION,
        "AFLT": seen.rhythm == rhythm.FLUTTER,
        "SVTAC": seen.rhythm == rhythm.TACHYCARDIA,
        "SVARR": seen.rhythm == rhythm.JUNCTIONAL,
        "PACE": seen.rhythm == rhythm.PACED,
        "PVC": ventricular > 0,
        "PAC": sinus & (atrial > 0),
        "BIGU": jnp.maximum(ventricular, jnp.where(sinus, atrial, 0.0)) > 0.4,
    }
    found["SR"] = sinus & ~(found["SBRAD"] | found["STACH"] | found["SARRH"])
    return found


def _state_conduction(
    reading: _Reading, lets_pass: jax.Array, left_limit: jax.Array, is_inferior: jax.Array
) -> _Statements:
    """Statements on conduction.

    Args:
        reading: What was found.
        lets_pass: Whether the reader ignores a narrow right bundle branch pattern.
        left_limit: Degrees, the axis from which the reader states a left anterior fascicular block.
        is_inferior: Inferior infarction is stated, which turns the axis by itself.
    """
    seen, right, left = reading.seen, reading.right, reading.left
    qrs, axis = seen.intervals.qrs, reading.noisy.axis
    is_anterior = jnp.isin(seen.conduction, jnp.array([conduction.LAFB, conduction.RBBB_LAFB]))
    is_posterior = jnp.isin(seen.conduction, jnp.array([conduction.LPFB, conduction.RBBB_LPFB]))
    is_paced = seen.rhythm == rhythm.PACED
    is_readable = ~reading.is_masked
    return {
        "1AVB": reading.is_sinus & (seen.intervals.pr > 0.2),
        "2AVB": seen.rhythm == rhythm.SECOND_DEGREE,
        "3AVB": seen.rhythm == rhythm.THIRD_DEGREE,
        "CRBBB": reading.right_complete,
        "IRBBB": right & ~reading.right_complete & ~((qrs < 0.105) & lets_pass),
        "CLBBB": reading.left_complete,
        "ILBBB": left & ~reading.left_complete,
        "LAFB": (axis < jnp.where(is_anterior, left_limit, -50.0)) & (axis > -100) & ~is_inferior & is_readable,
        "LPFB": is_posterior & (axis > 90) & is_readable,
        "IVCD": (qrs >= 0.11) & ~right & ~left & ~is_paced & ~reading.preexcited,
        "WPW": reading.preexcited,
    }


def _count(found: jax.Array, where: np.ndarray) -> jax.Array:
    """Whether it is found in at least two of these leads."""
    return jnp.sum(found[where]) >= 2


def _state_infarction(draws: Draws, reading: _Reading) -> tuple[_Statements, jax.Array]:
    """Statements on infarction and injury, and whether an inferior one is stated.

    Limits are lower in patients who have one.
    """
    r, q, s, has, exact = reading.noisy.r, reading.noisy.q, reading.noisy.s, reading.has, reading.exact
    st = reading.noisy.st
    is_readable = ~reading.is_masked
    deep = (q >= 0.1) & (exact.q_width >= 0.03)
    some = (q >= 0.05) & (exact.q_width >= 0.02)

    def infarcted(name: str, where: np.ndarray) -> jax.Array:
        return (_count(deep, where) & draws.flip(0.7)) | (has[f"{name}_infarction"] & _count(some, where))

    inferior = infarcted("inferior", _INFERIOR) & is_readable
    lateral = infarcted("lateral", _LATERAL) & is_readable
    no_progress = (r[_V3] <= 0.3) & (r[_V2] <= 0.3)
    front = _count((deep | (r < 0.05)) & (q > 0.1), _ANTERIOR)
    anterior = (front & draws.flip(0.7)) | (has["anterior_infarction"] & (no_progress | _count(some, _ANTERIOR)))
    anterior &= is_readable
    beyond = anterior & (some[_V4] | some[_V5])
    prominent = (r > s) & (reading.noisy.t > 0)
    posterior = has["posterior_infarction"] & (prominent[_V1] | prominent[_V2]) & ~reading.right & is_readable
    any_infarct = inferior | lateral | anterior | posterior
    elevated = {"anterior": _count(st >= 0.2, np.array([_V1, _V2, _V3, _V4]))}
    elevated |= {"lateral": _count(st >= 0.1, _LATERAL), "inferior": _count(st >= 0.1, _INFERIOR)}
    acute = {
        name: found & is_readable & (has["st_elevation"] | has[f"{name}_infarction"])
        for name, found in elevated.items()
    }
    found = {
        "ASMI": anterior & ~beyond & ~lateral,
        "AMI": anterior & beyond & ~lateral,
        "ALMI": anterior & lateral,
        "LMI": lateral & ~anterior & ~inferior,
        "IMI": inferior & ~lateral & ~posterior,
        "ILMI": inferior & lateral & ~posterior,
        "PMI": posterior & ~inferior,
        "IPMI": inferior & posterior & ~lateral,
        "IPLMI": inferior & posterior & lateral,
        "INJAS": acute["anterior"] & has["anterior_infarction"],
        "INJAL": acute["lateral"] & has["lateral_infarction"],
        "INJIN": acute["inferior"] & has["inferior_infarction"],
        "QWAVE": jnp.any(deep[jnp.array([_I, _II, _AVF, _V3, _V4, _V5, _V6])]) & ~any_infarct & is_readable,
        "STE_": jnp.any(jnp.stack(list(acute.values()))),
    }
    return found, inferior


def _state_repolarization(draws: Draws, reading: _Reading) -> _Statements:
    """Statements on ST, T and QT."""
    r, st, t, has = reading.noisy.r, reading.noisy.st, reading.noisy.t, reading.has
    is_readable, has_positive = ~reading.is_masked, reading.exact.r > 0.1
    is_primary = is_readable & ~reading.right_complete  # a bundle branch block changes ST and T by itself

    def lowered(limit: float) -> list[jax.Array]:
        return [_count(st <= -limit, wall) for wall in (_APICAL, _ANTERIOR, _INFERIOR)]

    depressed = jnp.any(jnp.stack(lowered(0.05))) & is_readable
    inverted = [_count((t <= -0.15) & has_positive, wall) for wall in (_APICAL, np.array([_V3, _V4]), _INFERIOR)]
    apical, septal, below = ((low | turned) & is_primary for low, turned in zip(lowered(0.08), inverted, strict=True))
    several = (apical.astype(int) + septal + below) > 1
    low = _count((jnp.abs(t) < 0.1 * r) | (jnp.abs(t) < 0.05), _T_LEADS) & is_readable
    negative = _count((t < -0.03) & has_positive, _T_LEADS)
    rate_related = reading.is_sinus & (reading.seen.rate > 100) & draws.flip(0.7)  # which many ignore
    t_changed = (low | negative) & is_primary & ~rate_related
    st_changed = jnp.any(jnp.stack(lowered(0.045))) & is_primary & ~rate_related
    digitalis = has["digitalis"] & depressed
    ischaemia = (apical | septal | below) & ~digitalis
    names_walls = apical & below & ~septal & draws.flip(0.4)
    without_cause = ~ischaemia & ~digitalis
    limit = jnp.where(reading.seen.is_male, 0.45, 0.46)
    return {
        "STD_": depressed,
        "NST_": (st_changed | (t_changed & draws.flip(0.15))) & without_cause,
        "INVT": _count((t <= -0.1) & has_positive, _FRONT) & is_readable,
        "LOWT": low,
        "NDT": t_changed & ~(st_changed & draws.flip(0.5)) & without_cause,
        "ISC_": ischaemia & several & ~names_walls,
        "ISCIL": ischaemia & several & names_walls,
        "ISCAL": ischaemia & ~several & apical,
        "ISCAS": ischaemia & ~several & septal,
        "ISCIN": ischaemia & ~several & below,
        "LNGQT": (reading.seen.intervals.qt > limit) & is_primary,
        "DIG": digitalis,
        "EL": has["hyperkalaemia"] | has["hypokalaemia"],
    }


def _state_hypertrophy(draws: Draws, reading: _Reading) -> _Statements:
    """Statements on enlarged ventricles and atria, and on voltage."""
    seen, exact, noisy, has = reading.seen, reading.exact, reading.noisy, reading.has
    r, s, st, t = noisy.r, noisy.s, noisy.st, noisy.t
    sokolow = s[_V1] + jnp.maximum(r[_V5], r[_V6]) >= 3.5
    cornell = s[_V3] + r[_AVL] >= jnp.where(seen.is_male, 2.8, 2.0)
    voltage = (sokolow | cornell) & ~reading.is_masked & ~reading.right_complete
    is_left_atrial = ((exact.p_terminal[_V1] >= 0.0045) | (seen.intervals.p > 0.125)) & reading.is_sinus
    left_atrial = is_left_atrial & (has["left_atrial_enlargement"] | draws.flip(0.15))
    right_atrial = (noisy.p[_II] >= 0.25) & reading.is_sinus
    strain = (st[_V5] < -0.03) & (t[_V5] < 0.05) | (st[_V6] < -0.03) & (t[_V6] < 0.05)
    hypertrophy = voltage & (strain | (sokolow & cornell) | left_atrial | has["left_ventricular_hypertrophy"])
    size = exact.r + jnp.maximum(exact.q, exact.s)
    return {
        "LVH": hypertrophy,
        "VCLVH": voltage & ~hypertrophy,
        "RVH": (r[_V1] > 0.6) & (r[_V1] > s[_V1]) & (noisy.axis > 90) & ~reading.right & ~reading.is_masked,
        "LAO/LAE": left_atrial,
        "RAO/RAE": right_atrial & (has["right_atrial_enlargement"] | draws.flip(0.3)),
        "LVOLT": jnp.all(size[:6] < 0.5) & jnp.all(size[6:] < 1.0),
        "ABQRS": has["fragmented_qrs"],
    }


def derive(stated: Any) -> dict[str, Any]:
    """Every label of a recording, 0 or 1: statements (the six under their own names), superclasses, `abnormal`.

    Args:
        stated: `[..., len(NAMES)]`, of JAX or NumPy, as `read` returns it.
    """
    columns = {name: stated[..., i].astype(np.float32) for i, name in enumerate(NAMES)}
    places = {
        name: [NAMES.index(code) for code in codes if code in columns] for name, codes in statements.MEMBERS.items()
    }
    derived = {name: stated[..., np.array(place)].max(axis=-1).astype(np.float32) for name, place in places.items()}
    return derived | {statements.column_name(code): column for code, column in columns.items() if code not in derived}
