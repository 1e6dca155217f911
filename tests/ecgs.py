"""Simulated ECGs with the diagnoses that a test asks for and nothing else."""

import functools

import jax
import numpy as np

from ecg_jax.labels import SIX
from ecg_jax.simulation import conduction, rhythm
from ecg_jax.simulation.patients import Population
from ecg_jax.simulation.simulator import describe_many, simulate_many

ENOUGH = 40  # recordings for each set of diagnoses; also how many any test draws at once, as one compiled program


def weigh(names, **weights):
    """Weights in the order of `names`, 0 for those not given."""
    return tuple(weights.get(name, 0.0) for name in names)


# Sinus rhythm or fibrillation, bundle branch blocks or none; complexes that look as in a textbook.
PLAIN = Population(
    ill=1.0,
    rhythms=weigh(rhythm.RHYTHMS, sinus=0.8, fibrillation=0.2),
    conductions=weigh(conduction.CONDUCTIONS, normal=0.6, RBBB=0.2, LBBB=0.2),
    ventricular_ectopy=0.0,
    atrial_ectopy=0.0,
    pathology=0.0,
    misplacement=0.3,
    swaps=0.0,
    faults=0.0,
    grey=0.0,
)


def find_keys(key, wanted, count, population):
    """Keys `[count]` of recordings whose labels and truth are as wanted, as common among these as in the population."""
    found = []
    for block in range(20):
        keys = jax.random.split(jax.random.fold_in(key, block), 1000)
        label, truth = jax.device_get(describe_many(keys, population))
        found.extend(np.asarray(jax.random.key_data(keys))[wanted(label, truth)])
        if len(found) >= count:
            return jax.random.wrap_key_data(np.stack(found[:count]))
    raise LookupError(f"of 20,000 simulated recordings {len(found)} are as wanted, not {count}")


@functools.cache
def find(names):
    """Keys of patients with these of the six diagnoses, axis 0 to 75 degrees, and no wide QRS without a label."""
    flags = np.array([name in names for name in SIX])

    def wanted(label, truth):
        is_block = np.isin(truth["conduction"], (conduction.RBBB, conduction.LBBB))
        has_usual_axis = (np.abs(truth["axis"] - 37) < 38) | bool({"RBBB", "LBBB"} & {*names})  # which turn it
        return (label == flags).all(axis=1) & (is_block == flags[1:3].any()) & has_usual_axis

    return find_keys(jax.random.key(0), wanted, ENOUGH, PLAIN)


@functools.lru_cache(8)
def _draw_all(names, population):
    return jax.device_get(simulate_many(find(names), population))


def draw(seed, names=(), **changes):
    """A recording of the simulator: number `seed`, below 40, of those with these diagnoses."""
    return jax.tree.map(lambda leaf: leaf[seed], _draw_all(tuple(names), PLAIN._replace(**changes)))


def simulate(seed=0, names=(), **changes):
    """Its signal alone, `[samples, 12]` mV at 400 Hz, of 10 s or 7."""
    drawn = draw(seed, names, **changes)
    return drawn.signal[drawn.valid]
