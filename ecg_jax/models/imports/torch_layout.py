"""From the names and layouts of a PyTorch file to those of Flax.

PyTorch stores a convolution as `[outputs, inputs, taps]` and a dense layer as `[outputs, inputs]`; Flax reverses both.
"""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np

from ecg_jax.errors import InputError

_DIMENSIONS = {"conv": 3, "dense": 2, "vector": 1}
_MOST_LISTED = 5  # names in a message


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a Flax array comes from."""

    name: str  # in the PyTorch file
    kind: str  # "conv", "dense", "vector", or "as is"


def convert(
    table: Mapping[str, Entry], weights: Mapping[str, np.ndarray], *, ignored: Sequence[str] = (), source: str
) -> dict[str, np.ndarray]:
    """Rearranges a file's arrays.

    Args:
        table: What each Flax path is made of.
        weights: The file's arrays by name.
        ignored: Shell patterns of names that need no place in the table.
        source: The file, for messages.

    Returns:
        Flax arrays by path.

    Raises:
        InputError: listing what is missing or left over, or of other dimensions than its kind.
    """
    names = {entry.name for entry in table.values()}
    spare = [name for name in weights if not any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored)]
    shapes = {entry: np.shape(weights[entry.name]) for entry in table.values() if entry.name in weights}
    problems = [
        _list("missing there", sorted(names - set(weights))),
        _list("left over there", sorted(set(spare) - names)),
        _list("of another shape", [f"{e.name} {shapes[e]}" for e in shapes if not _fits(e, shapes[e])]),
    ]
    if any(problems):
        raise InputError(f"{source}: its weights are not those of this network; {'; '.join(filter(None, problems))}")
    return {path: _transpose(entry, weights[entry.name]) for path, entry in table.items()}


def find_contradiction(shapes: Mapping[str, tuple[int, ...]], dimensions: Mapping[str, int]) -> str:
    """What shows that a file is not of a network that has arrays of these names and dimensions; empty for nothing."""
    for name, number in dimensions.items():
        if name not in shapes:
            return f"it has no {name}"
        if not is_sized(shapes[name], number):
            return f"{name} is of shape {shapes[name]}; {number} dimensions, none of them 0, were expected"
    return ""


def is_sized(shape: tuple[int, ...], dimensions: int) -> bool:
    """True for a shape of that many dimensions, none of them zero."""
    return len(shape) == dimensions and 0 not in shape


def _fits(entry: Entry, shape: tuple[int, ...]) -> bool:
    return len(shape) == _DIMENSIONS.get(entry.kind, len(shape))


def _transpose(entry: Entry, array: np.ndarray) -> np.ndarray:
    return np.asarray(array) if entry.kind == "as is" else np.transpose(array)


def _list(title: str, items: Sequence[str]) -> str:
    more = [f"and {len(items) - _MOST_LISTED} more"] if len(items) > _MOST_LISTED else []
    return f"{title} ({len(items)}): {', '.join([*items[:_MOST_LISTED], *more])}" if items else ""
