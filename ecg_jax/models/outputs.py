"""The output layer: the only one whose arrays have an entry per label, so they are transferred by label."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ecg_jax.errors import InputError

OUTPUT = "head/output"  # of every network and head
PATHS = (f"params/{OUTPUT}/kernel", f"params/{OUTPUT}/bias")  # [inputs, labels] and [labels]


@dataclasses.dataclass(frozen=True)
class Scale:
    """Of a network that predicts numbers: its outputs are (number - mean) / deviation, label by label.

    Attributes:
        mean: `[C]`, in the unit of each number.
        deviation: `[C]`, above 0.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def measure(cls, labels: np.ndarray, names: Sequence[str]) -> "Scale":
        """Of the known labels in `[N, C]`; `InputError` where there are not two different ones."""
        known = [column[~np.isnan(column)].astype(np.float64) for column in labels.T]
        for name, values in zip(names, known, strict=True):
            if not len(values) or values.min() == values.max():
                found = f"is always {values[0]:g}" if len(values) else "is never known"
                raise InputError(f"label {name} {found} in the training split: there is nothing to learn")
        return cls(np.array([values.mean() for values in known]), np.array([values.std() for values in known]))

    @classmethod
    def create_plain(cls, count: int) -> "Scale":
        """Of outputs in the unit of the numbers."""
        return cls(np.zeros(count), np.ones(count))

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]], names: Sequence[str]) -> "Scale":
        """The reverse of `to_dict`."""
        return cls(*np.array([values[name] for name in names], np.float64).reshape(-1, 2).T)

    def to_dict(self, names: Sequence[str]) -> dict[str, list[float]]:
        """`[mean, deviation]` by label, JSON-ready."""
        return dict(zip(names, np.stack([self.mean, self.deviation], axis=1).tolist(), strict=True))

    def take(self, places: Sequence[int]) -> "Scale":
        """That of some of the labels."""
        return Scale(self.mean[[*places]], self.deviation[[*places]])

    def standardize(self, numbers: Any) -> Any:
        """Outputs `[..., C]` of numbers; arrays of NumPy or JAX."""
        return (numbers - self.mean) / self.deviation

    def restore(self, outputs: Any) -> Any:
        """Numbers `[..., C]` of outputs, likewise."""
        return outputs * self.deviation + self.mean


def rescale(stored: Mapping[str, np.ndarray], before: Scale, after: Scale) -> dict[str, np.ndarray]:
    """An output layer, by path, that computes under another scale the numbers that it computes under this one."""
    kernel, bias = PATHS
    factor = before.deviation / after.deviation
    shifted = {kernel: stored[kernel] * factor, bias: after.standardize(before.restore(stored[bias]))}
    return {**stored, **{path: values.astype(stored[path].dtype) for path, values in shifted.items()}}


def rearrange(
    stored: Mapping[str, np.ndarray], stored_labels: Sequence[str], own: Mapping[str, Any], labels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Arranges stored weights for a network with other labels, or with these in another order.

    Args:
        stored: Arrays by path.
        stored_labels: Of their outputs, in order.
        own: The network's arrays by path, freshly drawn; its outputs without a stored label keep theirs.
        labels: Of the network's outputs, in order.

    Returns:
        Arrays like `stored`, those in `PATHS` with an entry per label of `labels`. One whose other dimension differs
        from that of `own` is unchanged. `InputError` if the numbers of outputs and labels differ.
    """
    places = [(i, list(stored_labels).index(name)) for i, name in enumerate(labels) if name in stored_labels]
    to, come_from = map(list, zip(*places, strict=True)) if places else ([], [])
    found = dict(stored)
    for path in PATHS:
        if path not in stored or path not in own or stored[path].shape[:-1] != own[path].shape[:-1]:
            continue
        if stored[path].shape[-1] != len(stored_labels):
            raise InputError(f"{path} has {stored[path].shape[-1]} outputs for the labels {', '.join(stored_labels)}")
        found[path] = np.array(own[path])
        found[path][..., to] = stored[path][..., come_from]
    return found
