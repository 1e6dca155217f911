"""ECGs from the simulator: the data that is always there. Nothing is stored, each is drawn when read."""

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax.data.datasets.dataset import Dataset
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording
from ecg_jax.simulation import dipole

# The test split draws its patients from a wider population, recorded with more noise.
_CONDITIONS = {
    "train": dipole.Conditions(),
    "validation": dipole.Conditions(),
    "test": dipole.Conditions(morphology_spread=1.4, noise=1.6),
}


def create(
    *, source: str, labels: tuple[str, ...], seed: int, train: int = 4000, validation: int = 500, test: int = 1000
) -> Dataset:
    """Describes a simulated data set.

    Args:
        source: Must be empty: there is nothing to read.
        labels: Of the six diagnoses and `abnormal` (any of the six).
        seed: Another seed, another data set.
        train: Number of training recordings; every recording is another patient.
        validation: Number of validation recordings.
        test: Number of test recordings.

    Raises:
        InputError: when a source is given, a size is negative or a label is unknown.
    """
    if source:
        raise InputError(f"data set simulated reads no files, but data.source is {source!r}; set data.dataset as well")
    sizes = {"train": train, "validation": validation, "test": test}
    if min(sizes.values()) < 0:
        raise InputError(f"data.simulated sizes are {sizes}; none may be negative")
    places = [(split, i) for split, size in sizes.items() for i in range(size)]

    def stream(split: str, i: int) -> np.random.Generator:
        return np.random.default_rng([seed, tuple(sizes).index(split), i])

    diagnoses = np.array([dipole.draw_diagnoses(stream(*place)) for place in places], np.float32)
    columns = dict(zip(label_lib.SIX, diagnoses.reshape(-1, len(label_lib.SIX)).T, strict=True))
    columns[label_lib.ABNORMAL] = diagnoses.max(axis=1, initial=0)
    ids = np.array([f"{split}-{i:06d}" for split, i in places], str)

    def read(i: int) -> Recording:
        split, number = places[i]
        rng = stream(split, number)
        signal = dipole.simulate(rng, dipole.draw_diagnoses(rng), _CONDITIONS[split])
        return create_recording(signal, leads=LEADS, sampling_rate=dipole.SAMPLING_RATE, id=str(ids[i]))

    return Dataset(
        name="simulated",
        ids=ids,
        columns=label_lib.select(labels, columns, None, "data set simulated"),
        split=np.array([split for split, _ in places], str),
        read=read,
        reads_files=False,
    )
