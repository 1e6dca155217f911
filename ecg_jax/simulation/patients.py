"""Who is recorded: a population and the patients drawn from it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ecg_jax.simulation import conduction, rhythm
from ecg_jax.simulation.draws import Draws

# In a healthy heart a narrow pattern of the right bundle branch is a variant of the normal.
_HEALTHY_CONDUCTIONS = [{"normal": 0.95, "incomplete_RBBB": 0.05}.get(name, 0.0) for name in conduction.CONDUCTIONS]


class Population(NamedTuple):
    """Who is recorded, how, and who reads it. Prevalences are weights: they need not sum to 1."""

    # Share of patients in whom anything may be wrong; all others have a healthy heart in sinus rhythm. Rhythms,
    # conductions, long PR intervals and pathologies are those of the former.
    ill: float = 0.47
    rhythms: tuple[float, ...] = (0.66, 0.16, 0.04, 0.03, 0.02, 0.04, 0.03, 0.02)  # in the order of `rhythm.RHYTHMS`
    rates: tuple[float, ...] = (0.60, 0.20, 0.20)  # of sinus rhythm: usual, slow, fast
    # In the order of `conduction.CONDUCTIONS`.
    conductions: tuple[float, ...] = (0.50, 0.08, 0.08, 0.10, 0.015, 0.085, 0.02, 0.07, 0.02, 0.03, 0.01)
    first_degree: float = 0.18  # share of patients with a long PR interval
    ventricular_ectopy: float = 0.12  # share of patients with ventricular premature beats
    atrial_ectopy: float = 0.10  # share of patients with atrial premature beats
    pathology: float = 1.0  # factor of the prevalences in `pathology.PATHOLOGIES`
    spread: float = 1.0  # how far patients differ in the shape of their beats
    noise: float = 1.0  # factor of all noise
    misplacement: float = 0.3  # centimetres, the standard deviation of a chest electrode's place
    swaps: float = 0.01  # share of recordings with two cables confused
    faults: float = 1.0  # factor of how often an electrode is off or loose, or an amplifier at its limit
    grey: float = 1.0  # factor of readers' disagreement; see `criteria.read`


class Patient(NamedTuple):
    """Who is recorded."""

    age: jax.Array  # years
    is_male: jax.Array  # sex
    rhythm: jax.Array  # index into `RHYTHMS`
    conduction: jax.Array  # index into `CONDUCTIONS`
    rate: jax.Array  # beats per minute
    is_first_degree: jax.Array  # whether PR is long
    is_ill: jax.Array  # whether anything may be wrong

    @property
    def mean_interval(self) -> jax.Array:
        """Seconds between beats."""
        return 60 / self.rate

    @property
    def is_paced(self) -> jax.Array:
        """Whether the ventricles are paced."""
        return self.rhythm == rhythm.PACED


def draw_patient(draws: Draws, population: Population) -> Patient:
    """Draws who is recorded."""
    is_ill = draws.flip(population.ill)
    age = jnp.clip(jnp.where(is_ill, 65.0, 52.0) + draws.normal(0.0, 16.0), 16.0, 95.0)
    is_male = draws.flip(0.5)
    kind = jnp.where(is_ill, draws.choose(population.rhythms), rhythm.SINUS)
    sinus = jnp.stack([draws.normal(71.0, 11.0), draws.normal(52.0, 6.0), 98.0 + draws.lognormal(15.0, 0.6)])[
        draws.choose(population.rates)
    ]
    rates = jnp.stack(
        [
            jnp.clip(sinus, 34.0, 175.0),
            draws.lognormal(88.0, 0.28),  # fibrillation
            draws.lognormal(98.0, 0.28),  # flutter
            draws.uniform(135.0, 210.0),
            draws.lognormal(54.0, 0.25),  # junctional
            draws.normal(70.0, 9.0),  # paced
            draws.normal(82.0, 12.0),  # of the atria, in second-degree block
            draws.uniform(26.0, 55.0),
        ]
    )
    return Patient(
        age=age,
        is_male=is_male,
        rhythm=kind,
        conduction=jnp.where(is_ill, draws.choose(population.conductions), draws.choose(_HEALTHY_CONDUCTIONS)),
        rate=jnp.clip(rates[kind], 26.0, 215.0),
        is_first_degree=draws.flip(population.first_degree) & is_ill,
        is_ill=is_ill,
    )
