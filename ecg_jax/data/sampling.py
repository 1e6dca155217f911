"""Which recording is at which position of the endless stream that training reads.

Every position is a pure function of (seed, position): any process can compute any batch,
and a run that continues only has to remember its position.
"""

from typing import Any

import numpy as np

from ecg_jax.data.datasets.dataset import WEIGHT, Dataset
from ecg_jax.errors import InputError


class Order:
    """The training recordings of a data set in the order of a seed, in batches.

    Position p of the stream is place p % batch_size of the global batch of step p // batch_size.

    Attributes:
        rows: Numbers of all training recordings, ascending.
        batch_size: Of the global batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int,
        sampling: str = "shuffle",
        *,
        batch_size: int = 1,
        random_crop: bool = False,
    ) -> None:
        """Prepares the order; raises `InputError` on weights that are missing, negative or all zero.

        Args:
            dataset: One that has a split.
            seed: Of the order, and of crops.
            sampling: `shuffle` goes through all recordings in every epoch, in another order each time. `balanced` and
                `weighted` draw with replacement: see `balanced_weights`, and the attribute `sampling_weight`.
            batch_size: Of the global batch.
            random_crop: Whether longer recordings are cropped at a place drawn for each position, instead of to their
                centre.
        """
        self.rows = dataset.indices("train")
        self.batch_size = batch_size
        self._random_crop = random_crop
        self._seed = seed
        self._shuffled: dict[int, np.ndarray] = {}
        self._cumulative: np.ndarray | None = None
        if sampling != "shuffle":
            is_balanced = sampling == "balanced"
            labels = dataset.labels[self.rows]
            weights = balanced_weights(labels) if is_balanced else _read_weights(dataset, self.rows)
            self._cumulative = np.cumsum(weights / weights.sum())

    def draw(self, step: int, places: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Recordings at some places of a step's global batch, `[n]` int64, and their crops; None for the centre."""
        positions = step * self.batch_size + places
        return self.rows_at(positions), self.crops_at(positions) if self._random_crop else None

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Recordings at some positions, `[n]` int64."""
        if self._cumulative is not None:
            drawn = np.searchsorted(self._cumulative, draw_uniform(self._seed, "row", positions), side="right")
            return self.rows[np.minimum(drawn, len(self.rows) - 1)]
        epochs, places = np.divmod(positions, len(self.rows))
        rows = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = self._shuffle(int(epoch))[places[here]]
        return rows

    def _shuffle(self, epoch: int) -> np.ndarray:
        """The order of an epoch: by a hash of each place, so that it depends on no library's generator."""
        order = self._shuffled.get(epoch)
        if order is None:
            keys = _mix(_mix(np.uint64(self._seed % 2**63), np.uint64(epoch)), np.arange(len(self.rows)))
            order = self.rows[np.argsort(keys, kind="stable")]
            near = {other: rows for other, rows in self._shuffled.items() if abs(other - epoch) == 1}
            self._shuffled = near | {epoch: order}  # threads work on two epochs at most
        return order

    def crops_at(self, positions: np.ndarray) -> np.ndarray:
        """Where a random crop lies at some positions, `[n]` float64 from 0 to below 1."""
        return draw_uniform(self._seed, "crop", positions)


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Weights with which every label's positives, and recordings without any, are drawn equally often.

    Args:
        labels: `[N, C]` in {1, 0, NaN}.

    Returns:
        `[N]` float64 that sum to 1: over the groups of a recording, the sum of 1 / (number of groups x group size).
    """
    groups = np.concatenate([labels == 1, ~np.any(labels == 1, axis=1, keepdims=True)], axis=1)
    sizes = groups.sum(axis=0)
    return groups[:, sizes > 0] @ (1 / (sizes[sizes > 0] * np.count_nonzero(sizes)))


def draw_uniform(seed: int, purpose: str, positions: np.ndarray) -> np.ndarray:
    """Uniform numbers from 0 to below 1, one per position, `[n]` float64."""
    stream = np.uint64(int.from_bytes(purpose.encode()[:7], "little"))
    key = _mix(np.uint64(seed % 2**63), stream)
    return (_mix(key, np.asarray(positions, np.uint64)) >> np.uint64(11)) * 2.0**-53


def _mix(key: Any, value: Any) -> Any:
    """The finalizer of SplitMix64 (Steele, Lea & Flood 2014) over `key + value * odd constant`."""
    with np.errstate(over="ignore"):
        x = key + (np.asarray(value).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _read_weights(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    if WEIGHT not in dataset.attributes:
        raise InputError(f"data.sampling is 'weighted', but data set {dataset.name} has no column {WEIGHT}")
    weights = np.asarray(dataset.attributes[WEIGHT], np.float64)[rows]
    bad = np.flatnonzero(~(weights >= 0))
    if bad.size:
        raise InputError(
            f"data set {dataset.name}: recording {dataset.ids[rows[bad[0]]]} has {WEIGHT} {weights[bad[0]]}; "
            "a weight is a number of at least 0"
        )
    if not weights.sum() > 0:
        raise InputError(f"data set {dataset.name}: every {WEIGHT} of the training recordings is 0")
    return weights
