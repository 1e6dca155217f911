"""ECGs from the simulators, always available. Nothing is stored, each recording is drawn when read.

`textbook` (`simulation.textbook`) is drawn by NumPy alone. `hospital` (`simulation.simulator`) must be compiled first,
for some 20 seconds on two CPU cores, where `textbook` opens and reads at once. JAX is imported where it draws, so that
reading files does not need it.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ecg_jax import labels as label_lib
from ecg_jax import statements
from ecg_jax.config import check_values
from ecg_jax.data.datasets.dataset import SPLITS, Dataset
from ecg_jax.errors import InputError
from ecg_jax.recording import LEADS, Recording, create_recording
from ecg_jax.simulation import SAMPLING_RATE, textbook

if TYPE_CHECKING:
    import jax

# The test split draws its patients from a wider population, recorded with more noise; so for `hospital`, below.
_TEXTBOOK = {split: textbook.Conditions() for split in SPLITS} | {
    "test": textbook.Conditions(morphology_spread=1.4, noise=1.6)
}
_LABELLED_AT_ONCE = 1024

AGE = "age"  # years, drawn by the population `hospital`

ReadFn = Callable[[str, int], np.ndarray]  # split, number -> signal [samples, 12] mV
Opened = tuple[dict[str, np.ndarray], dict[str, np.ndarray], ReadFn]  # labels and attributes, [N] by name; read


def create(
    *,
    source: str,
    labels: tuple[str, ...],
    seed: int,
    train: int = 4000,
    validation: int = 500,
    test: int = 1000,
    population: str = "textbook",
) -> Dataset:
    """Describes a simulated data set.

    Args:
        source: Must be empty: there is nothing to read.
        labels: Of `hospital`, every statement of `simulation.criteria.CRITERIA`, superclasses and `abnormal`; of
            `textbook`, the six diagnoses and `abnormal` (any of them but sinus bradycardia and tachycardia). A number:
            `age`, of `hospital`.
        seed: Another seed, another data set.
        train: Number of training recordings, each of another patient.
        validation: Number of validation recordings.
        test: Number of test recordings.
        population: `textbook`, plain cases of the six diagnoses or nothing, or `hospital`, the diseases of real
            patients, and borderline cases.

    Raises:
        InputError: when a source is given, a label is unknown, or a key does not take a value.
    """
    if source:
        raise InputError(f"data set simulated reads no files, but data.source is {source!r}; set data.dataset as well")
    sizes = {"train": train, "validation": validation, "test": test}
    check_values("data.simulated", **sizes, population=population)
    columns, known, read_signal = (_open_textbook if population == "textbook" else _open_hospital)(seed, sizes)
    chosen = label_lib.select(labels, columns, None, "data set simulated")
    offered = label_lib.choose(tuple(chosen), tuple(columns), "data set simulated")
    places = [(split, i) for split, size in sizes.items() for i in range(size)]
    ids = np.array([f"{split}-{i:06d}" for split, i in places], str)

    def draw(key: "jax.Array", samples: int, sampling_rate: float) -> "tuple[jax.Array, jax.Array, jax.Array]":
        import jax.numpy as jnp

        from ecg_jax.simulation import criteria, simulator

        drawn = simulator.simulate(key, simulator.Population(), samples=samples, sampling_rate=sampling_rate)
        found = criteria.derive(drawn.truth["stated"]) | {AGE: drawn.truth[AGE]}
        wanted = labels if isinstance(labels, label_lib.Numbers) else offered.values()
        return drawn.signal, drawn.valid, jnp.stack([found[name].astype(jnp.float32) for name in wanted])

    return Dataset(
        name="simulated",
        ids=ids,
        columns=chosen,
        split=np.array([split for split, _ in places], str),
        read=functools.partial(_read, read_signal, places, ids),
        attributes=known,
        draw=draw if population == "hospital" else None,
        reads_files=False,
    )


def _read(read_signal: ReadFn, places: list[tuple[str, int]], ids: np.ndarray, i: int) -> Recording:
    return create_recording(read_signal(*places[i]), leads=LEADS, sampling_rate=SAMPLING_RATE, id=str(ids[i]))


def _open_textbook(seed: int, sizes: dict[str, int]) -> Opened:
    """Draws from the textbook's population."""
    drawn = [textbook.draw_diagnoses(_create_rng(seed, split, i)) for split, size in sizes.items() for i in range(size)]
    diagnoses = np.array(drawn, np.float32).reshape(-1, len(label_lib.SIX))
    columns = dict(zip(label_lib.SIX, diagnoses.T, strict=True))
    codes = statements.MEMBERS[statements.ABNORMAL]
    wrong = [column for name, column in columns.items() if statements.SIX[name] in codes]
    return columns | {label_lib.ABNORMAL: statements.any_of(wrong)}, {}, functools.partial(_draw, seed)


def _draw(seed: int, split: str, number: int) -> np.ndarray:
    rng = _create_rng(seed, split, number)
    return textbook.simulate(rng, textbook.draw_diagnoses(rng), _TEXTBOOK[split])


def _create_rng(seed: int, split: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(split), number])


def _open_hospital(seed: int, sizes: dict[str, int]) -> Opened:
    """The same; recordings are drawn on the host, one by one, as an accelerator is busy training."""
    import jax

    from ecg_jax.simulation import criteria, simulator

    def find_cpu() -> "jax.Device":
        try:
            return jax.local_devices(backend="cpu")[0]
        except RuntimeError:  # a process without a CPU device
            return jax.local_devices()[0]

    def choose_population(split: str) -> simulator.Population:
        return simulator.Population(spread=1.4, noise=1.6) if split == "test" else simulator.Population()

    def create_keys(split: str, numbers: np.ndarray) -> "jax.Array":
        root = jax.random.fold_in(jax.random.key(seed), SPLITS.index(split))
        return jax.vmap(functools.partial(jax.random.fold_in, root))(numbers)

    def read(split: str, number: int) -> np.ndarray:
        with jax.default_device(find_cpu()):
            keys = create_keys(split, np.array([number]))
            drawn = jax.device_get(simulator.simulate_many(keys, choose_population(split)))
        return drawn.signal[0][drawn.valid[0]]

    found, ages = [np.zeros((0, len(criteria.NAMES)), bool)], [np.zeros(0, np.float32)]
    with jax.default_device(find_cpu()):
        for split, size in sizes.items():
            for begin in range(0, size, _LABELLED_AT_ONCE):
                keys = create_keys(split, np.arange(begin, begin + _LABELLED_AT_ONCE))
                _, truth = simulator.describe_many(keys, choose_population(split))
                found.append(np.asarray(truth["stated"])[: size - begin])
                ages.append(np.asarray(truth[AGE])[: size - begin])
    return criteria.derive(np.concatenate(found)), {AGE: np.concatenate(ages)}, read
