"""Simulated ECGs with one finding, and where in them its cause is: what an attribution can be held against.

    drawn = next(draw("1AVB", jax.random.key(0)))
    drawn.cause[0]  # [T, 12] bool: from the onset of P to that of QRS

A finding's cause is where its criterion is measured (`simulation.criteria`). The patient has nothing else that is
stated, so that nothing else can be the reason of a label. Slow and fast rates have a cause, but no place: intervals
between complexes, wherever they are seen.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ecg_jax.recording import LEADS
from ecg_jax.simulation import SAMPLING_RATE, conduction, criteria, rhythm
from ecg_jax.simulation.boundaries import Track
from ecg_jax.simulation.pathology import PATHOLOGIES
from ecg_jax.simulation.patients import Population
from ecg_jax.simulation.simulator import describe_many, simulate_many, trace_waves

# The end of a wave: so far above the baseline, as a fraction of its height in the lead, and in millivolts.
_EDGES = {"P": (0.05, 0.01), "QRS": (0.02, 0.03), "T": (0.05, 0.015)}
_THRESHOLDS = {wave: np.array([edge], np.float32) for wave, edge in _EDGES.items()}
_AT_ONCE, _DESCRIBED = 32, 1000  # recordings that are simulated, and described, by one compiled program
_MOST_BLOCKS = 60  # of descriptions for each block of recordings
_INITIAL = 0.06  # seconds of a QRS complex that are no terminal part
_CLEAR = 0.03  # mV, the least Q or R wave


def _weigh(names: Any, **weights: float) -> tuple[float, ...]:
    return tuple(weights.get(name, 0.0) for name in names)


# Sinus rhythm of a usual rate; readers make no errors, so that a criterion is met where it is stated.
_PLAIN = Population(
    ill=1.0,
    rhythms=_weigh(rhythm.RHYTHMS, sinus=1.0),
    rates=(1.0, 0.0, 0.0),
    conductions=_weigh(conduction.CONDUCTIONS, normal=1.0),
    first_degree=0.0,
    ventricular_ectopy=0.0,
    atrial_ectopy=0.0,
    pathology=0.0,
    swaps=0.0,
    faults=0.0,
    grey=0.0,
)
_POPULATIONS = {
    "1AVB": _PLAIN._replace(first_degree=1.0),
    "CRBBB": _PLAIN._replace(conductions=_weigh(conduction.CONDUCTIONS, RBBB=1.0)),
    "CLBBB": _PLAIN._replace(conductions=_weigh(conduction.CONDUCTIONS, LBBB=1.0)),
    "AFIB": _PLAIN._replace(rhythms=_weigh(rhythm.RHYTHMS, fibrillation=1.0)),
    "IMI": _PLAIN._replace(pathology=1.0),
    "LVH": _PLAIN._replace(pathology=1.0),
    "SBRAD": _PLAIN._replace(rates=(0.0, 1.0, 0.0)),
    "STACH": _PLAIN._replace(rates=(0.0, 0.0, 1.0)),
}
_DISEASES = {"IMI": "inferior_infarction", "LVH": "left_ventricular_hypertrophy"}
_BESIDES = ("NORM", "SR", "SBRAD", "STACH")  # statements that may be there as well

PLACES = {
    "1AVB": "from P to QRS, all leads",
    "CRBBB": "QRS after 60 ms in V1, I, V6",
    "CLBBB": "QRS in I, aVL, V1, V5, V6",
    "AFIB": "from T to QRS, all leads",
    "IMI": "Q of II, III, aVF",
    "LVH": "QRS in V1, V5, V6 (Sokolow-Lyon), V3, aVL (Cornell), where 3.5 mV, or 2.8 or 2.0 mV, are met",
}
"""By statement, where its cause is."""
RATES = ("SBRAD", "STACH")
"""Statements whose cause has no place."""


class Drawn(NamedTuple):
    """Recordings of 10 s with one finding, at `SAMPLING_RATE`."""

    signal: np.ndarray  # `[N, T, 12]` float32 mV
    valid: np.ndarray  # `[N, T]` bool
    cause: np.ndarray  # `[N, T, 12]` bool; nowhere for `RATES`
    truth: dict[str, Any]  # see `simulator.Simulated`


class Waves(NamedTuple):
    """Waves of one kind in one recording, seconds from its first valid sample."""

    onset: np.ndarray  # `[waves, 12]`
    offset: np.ndarray  # `[waves, 12]`

    @classmethod
    def create(cls, track: Track, row: int) -> "Waves":
        """The waves of one recording that can be seen."""
        some = track.is_seen[row] & (track.onset[row, :, 0].min(axis=1) < rhythm.NEVER / 2)
        return cls(np.asarray(track.onset[row, some, 0]), np.asarray(track.offset[row, some, 0]))

    def precede(self, other: "Waves") -> "Waves":
        """From the onset of each of these waves to that of the next of others, in each lead."""
        following = np.searchsorted(other.onset.min(axis=1), self.onset.min(axis=1))
        kept = following < len(other.onset)
        return Waves(self.onset[kept], other.onset[following[kept]])


def draw(code: str, key: jax.Array) -> Iterator[Drawn]:
    """Draws recordings that have this finding and no other, `_AT_ONCE` at a time, without end.

    Args:
        code: One of `PLACES` and `RATES`.
        key: Of the recordings.

    Raises:
        LookupError: when the simulator hardly ever draws one.
    """
    keys = _find_keys(code, key)
    while True:
        yield simulate(code, np.stack([next(keys) for _ in range(_AT_ONCE)]))


def simulate(code: str, key_data: np.ndarray) -> Drawn:
    """The recordings of some keys, `[N, 2]` uint32."""
    population, keys = _POPULATIONS[code], jax.random.wrap_key_data(jnp.asarray(key_data))
    drawn = jax.device_get(simulate_many(keys, population, durations=(10.0,)))
    clean = jax.device_get(simulate_many(keys, population._replace(noise=0.0), durations=(10.0,)))
    tracks = jax.device_get(_trace(keys, population, _THRESHOLDS))
    cause = np.zeros(drawn.signal.shape, bool)
    for row, valid in enumerate(drawn.valid):
        waves = {wave: Waves.create(track, row) for wave, track in tracks.items()}
        if code in PLACES:
            truth = jax.tree.map(lambda leaf, row=row: leaf[row], drawn.truth)
            cause[row, valid] = mark(code, waves, clean.signal[row][valid], truth)
    return Drawn(drawn.signal, drawn.valid, cause, drawn.truth)


_trace = jax.jit(jax.vmap(trace_waves, (0, None, None)))


def _find_keys(code: str, key: jax.Array) -> Iterator[np.ndarray]:
    """Keys of recordings of the finding's population with the finding alone."""
    place = criteria.NAMES.index(code)
    is_other = ~np.isin(criteria.NAMES, (code, *_BESIDES))
    is_disease = np.isin(list(PATHOLOGIES), _DISEASES.get(code, ""))
    misses = 0
    for block in range(1 << 30):
        keys = jax.random.split(jax.random.fold_in(key, block), _DESCRIBED)
        _, truth = jax.device_get(describe_many(keys, _POPULATIONS[code]))
        stated = truth["stated"]
        wanted = stated[:, place] & ~stated[:, is_other].any(axis=1) & (truth["pathology"] == is_disease).all(axis=1)
        misses = 0 if wanted.any() else misses + 1
        if misses > _MOST_BLOCKS:
            raise LookupError(f"{code} without another finding is not among {misses * _DESCRIBED} simulated recordings")
        yield from np.asarray(jax.random.key_data(keys))[wanted]


def mark(code: str, waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    """Where the cause of a finding is, `[T, 12]` bool.

    Args:
        code: One of `PLACES`.
        waves: By name, P, QRS and T.
        clean: `[T, 12]` mV, the recording without noise.
        truth: Of the recording.
    """
    return _MARKERS[code](waves, clean, truth)


def fill(onset: np.ndarray, offset: np.ndarray, samples: int) -> np.ndarray:
    """Samples within spans `[spans, 12]` seconds, `[samples, 12]` bool."""
    time = np.arange(samples)[:, None, None] / SAMPLING_RATE
    return np.any((time >= onset) & (time < offset), axis=1)


def _keep_leads(marked: np.ndarray, *leads: str) -> np.ndarray:
    return marked & np.isin(LEADS, leads)


def _mark_pr(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    return fill(*waves["P"].precede(waves["QRS"]), len(clean))


def _mark_terminal(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    complexes = waves["QRS"]
    begin = complexes.onset.min(axis=1, keepdims=True) + _INITIAL
    return _keep_leads(fill(np.maximum(begin, complexes.onset), complexes.offset, len(clean)), "I", "V1", "V6")


def _mark_left(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    return _keep_leads(fill(*waves["QRS"], len(clean)), "I", "aVL", "V1", "V5", "V6")


def _mark_diastole(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    rest = Waves(waves["T"].offset, waves["T"].offset).precede(waves["QRS"])
    return fill(*rest, len(clean))


def _mark_q(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    """The part of each complex before it rises above the level at its onset, where it falls below that."""
    marked = np.zeros(clean.shape, bool)
    for onset, offset in zip(*waves["QRS"], strict=True):
        for lead in map(LEADS.index, ("II", "III", "aVF")):
            begin, end = (max(0, round(float(time[lead]) * SAMPLING_RATE)) for time in (onset, offset))
            height = clean[begin:end, lead] - clean[begin : begin + 1, lead]
            risen = np.flatnonzero(height > _CLEAR)
            width = risen[0] if len(risen) else len(height)
            marked[begin : begin + width, lead] = height[:width].min(initial=0.0) < -_CLEAR
    return marked


def _mark_voltage(waves: dict[str, Waves], clean: np.ndarray, truth: dict[str, Any]) -> np.ndarray:
    """The complexes of the leads whose sum of R and S is large; see `criteria`."""
    r, s = (dict(zip(LEADS, values, strict=True)) for values in (truth["measures"].r, truth["measures"].s))
    leads: tuple[str, ...] = ()
    if s["V1"] + max(r["V5"], r["V6"]) >= 3.5:
        leads += ("V1", "V5", "V6")
    if s["V3"] + r["aVL"] >= (2.8 if truth["is_male"] else 2.0):
        leads += ("V3", "aVL")
    return _keep_leads(fill(*waves["QRS"], len(clean)), *leads)


_MARKERS: dict[str, Callable[[dict[str, Waves], np.ndarray, dict[str, Any]], np.ndarray]] = {
    "1AVB": _mark_pr,
    "CRBBB": _mark_terminal,
    "CLBBB": _mark_left,
    "AFIB": _mark_diastole,
    "IMI": _mark_q,
    "LVH": _mark_voltage,
}
