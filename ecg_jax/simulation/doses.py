"""Experiments with one parameter: which patients, which values, and what guidelines state from which value on.

Criteria are those of `criteria.CRITERIA`, where their sources are. A `Dose` is drawn by `draw`: the same patients and
the same noise at each value.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ecg_jax.simulation import conduction, rhythm
from ecg_jax.simulation.interventions import Interventions
from ecg_jax.simulation.patients import Population
from ecg_jax.simulation.simulator import Simulated, simulate_many

_SECONDS = 10.0


class Criterion(NamedTuple):
    """When a label is stated; two limits where these differ by sex, lead or convention."""

    limits: tuple[float, ...]  # in the dose's unit, rising
    rises: bool = True  # stated above them, or below


@dataclasses.dataclass(frozen=True)
class Dose:
    """One parameter that is set."""

    title: str
    unit: str
    values: tuple[float, ...]  # rising
    parameter: str  # field of `Interventions`
    criteria: dict[str, Criterion]  # by label
    population: Population
    size: float = 1.0  # of the unit in that of the parameter


def _weigh(names: tuple[str, ...], only: str) -> tuple[float, ...]:
    return tuple(float(name == only) for name in names)


def _step(first: int, last: int, step: int) -> tuple[float, ...]:
    return tuple(map(float, range(first, last + 1, step)))


# Healthy hearts in sinus rhythm of usual rate, recorded as all others.
_HEALTHY = Population(ill=0.0, rates=(1.0, 0.0, 0.0), ventricular_ectopy=0.0, atrial_ectopy=0.0, swaps=0.0, faults=0.0)
_SINUS = _HEALTHY._replace(ill=1.0, pathology=0.0, rhythms=_weigh(rhythm.RHYTHMS, "sinus"), first_degree=0.0)


def _conduct(pattern: str) -> Population:
    return _SINUS._replace(conductions=_weigh(tuple(conduction.CONDUCTIONS), pattern))


_QRS = _step(80, 180, 10)
_MILLISECOND = 1e-3  # in seconds
_ELEVATED = tuple(round(0.05 * k, 2) for k in range(-2, 11))
DOSES = {
    "pr": Dose(
        "PR interval",
        "ms",
        (120, 140, *_step(160, 240, 10), 260, 280, 300, 320),
        "pr",
        {name: Criterion((200,)) for name in ("1dAVb", "abnormal")},
        _HEALTHY,
        _MILLISECOND,
    ),
    "rate": Dose(
        "Heart rate",
        "per minute",
        (*_step(40, 70, 5), 80, 90, 95, 98, 100, 102, 105, 110, 120, 130),
        "rate",
        {"SB": Criterion((50, 60), rises=False), "ST": Criterion((100,))},
        _HEALTHY,
    ),
    "qrs": Dose(
        "QRS duration, normal pattern",
        "ms",
        _QRS,
        "qrs",
        {name: Criterion((110,)) for name in ("IVCD", "abnormal")},
        _conduct("normal"),
        _MILLISECOND,
    ),
    "qrs-right": Dose(
        "QRS duration, right bundle branch pattern",
        "ms",
        _QRS,
        "qrs",
        {"RBBB": Criterion((120,)), "IRBBB": Criterion((120,), rises=False)},
        _conduct("RBBB"),
        _MILLISECOND,
    ),
    "qrs-left": Dose(
        "QRS duration, left bundle branch pattern",
        "ms",
        _QRS,
        "qrs",
        {"LBBB": Criterion((120,)), "ILBBB": Criterion((120,), rises=False)},
        _conduct("LBBB"),
        _MILLISECOND,
    ),
    "qt": Dose(
        "QTc interval (Fridericia)",
        "ms",
        _step(360, 560, 20),
        "qtc",
        {name: Criterion((450, 460)) for name in ("LNGQT", "abnormal")},
        _HEALTHY,
        _MILLISECOND,
    ),
    "st-inferior": Dose(
        "ST level in two of II, III, aVF",
        "mV",
        _ELEVATED,
        "inferior_st",
        {name: Criterion((0.1,)) for name in ("MI", "INJIN", "STE_")},
        _HEALTHY,
    ),
    "st-anterior": Dose(
        "ST level in two of V1 to V4",
        "mV",
        _ELEVATED,
        "anterior_st",
        {name: Criterion((0.2,)) for name in ("MI", "INJAS", "STE_")},
        _HEALTHY,
    ),
    "voltage": Dose(
        "S in V1 + R in V5 or V6",
        "mV",
        tuple(round(1.0 + 0.5 * k, 1) for k in range(11)),
        "voltage",
        {name: Criterion((3.5,)) for name in ("HYP", "LVH", "VCLVH")},
        _HEALTHY,
    ),
}


def draw(dose: Dose, value: float, keys: jax.Array) -> Simulated:
    """Recordings of 10 s of the patients of keys `[N]`, the parameter set to a value in the dose's unit."""
    settings = dict.fromkeys(Interventions._fields, jnp.nan) | {
        dose.parameter: value * dose.size
    }  # one program for all
    interventions = Interventions(**{name: jnp.full(len(keys), setting) for name, setting in settings.items()})
    return simulate_many(keys, dose.population, interventions, durations=(_SECONDS,))
