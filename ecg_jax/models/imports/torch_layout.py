"""From tensors as PyTorch names and lays them out to a network's variables.

Each network's module has a table of its layers; the tensors of a file must be those of the table, and no others.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import flax.errors
import numpy as np

from ecg_jax.errors import InputError, describe
from ecg_jax.models import network as network_lib
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.benchmarks import COMPARISONS
from ecg_jax.models.network import Network

# Convolutions are [outputs, inputs, taps] in PyTorch and [taps, inputs, outputs] in Flax, dense layers likewise.
_DIMENSIONS = {"conv": 3, "dense": 2, "vector": 1}
_COUNTERS = "*num_batches_tracked"  # of BatchNorms, without effect
_MOST = 4  # names in a message
_NORM = {
    "params/{}/scale": "{}.weight",
    "params/{}/bias": "{}.bias",
    "batch_stats/{}/mean": "{}.running_mean",
    "batch_stats/{}/var": "{}.running_var",
}

Shapes = Mapping[str, tuple[int, ...]]  # of a file's tensors, by name


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor in a PyTorch file."""

    name: str
    kind: str  # `conv`, `dense`, `vector`, or `as is`, of any shape


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the shapes of a file's tensors say of the network."""

    trunk: dict[str, Any]  # attributes
    num_labels: int  # outputs
    shape: tuple[int, int]  # samples (the published number where any will do) and leads of its input
    head: dict[str, Any] = dataclasses.field(default_factory=dict)  # attributes, where they are not the head's defaults


def list_layer(path: str, name: str, kind: str, *, bias: bool = True) -> dict[str, Entry]:
    """The tensors of a convolution or dense layer, by Flax path."""
    kernel = {f"params/{path}/kernel": Entry(f"{name}.weight", kind)}
    return kernel | ({f"params/{path}/bias": Entry(f"{name}.bias", "vector")} if bias else {})


def list_norm(path: str, name: str) -> dict[str, Entry]:
    """The tensors of a BatchNorm, by Flax path."""
    return {flax.format(path): Entry(torch.format(name), "vector") for flax, torch in _NORM.items()}


def count(names: Iterable[str], pattern: str) -> int:
    """How many of `pattern.format(0)`, `pattern.format(1)`, ... there are before the first that is missing."""
    known = set(names)
    return next(i for i in itertools.count() if pattern.format(i) not in known)


def find_contradiction(shapes: Shapes, dimensions: Mapping[str, int]) -> str:
    """Says which tensor is the first that is missing, empty or of another number of dimensions; `""` if none."""
    for name, number in dimensions.items():
        if name not in shapes:
            return f"it has no {name}"
        if len(shapes[name]) != number or 0 in shapes[name]:
            return f"{name} is {list(shapes[name])}, not of {number} dimensions"
    return ""


def convert(
    table: Mapping[str, Entry],
    weights: Mapping[str, np.ndarray],
    *,
    ignored: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
    source: str,
) -> dict[str, np.ndarray]:
    """Arranges a file's tensors as Flax does.

    Args:
        table: Tensors by Flax path.
        weights: The file's, by name.
        ignored: Shell patterns of names that may be there, without effect.
        aliases: Second names of tensors, which may be there and then hold the same numbers, and their first names.
        source: The file, for messages.

    Returns:
        Arrays by Flax path.

    Raises:
        InputError: listing what is missing, left over, of another number of dimensions, or not what it repeats.
    """
    aliases = aliases or {}
    known = {entry.name for entry in table.values()} | set(aliases)
    needed = [entry for entry in table.values() if entry.name in weights]
    repeated = [(alias, name) for alias, name in aliases.items() if alias in weights and name in weights]
    _refuse(
        source,
        {
            "missing": [entry.name for entry in table.values() if entry.name not in weights],
            "left over": [
                name
                for name in weights
                if name not in known and not any(fnmatchcase(name, pattern) for pattern in (_COUNTERS, *ignored))
            ],
            "of another shape": [
                f"{entry.name} {list(weights[entry.name].shape)}, not of {_DIMENSIONS[entry.kind]} dimension(s)"
                for entry in needed
                if weights[entry.name].ndim != _DIMENSIONS.get(entry.kind, weights[entry.name].ndim)
            ],
            "unlike what it repeats": [
                f"{alias} ({name})" for alias, name in repeated if not np.array_equal(weights[alias], weights[name])
            ],
        },
    )
    return {path: _arrange(weights[entry.name], entry.kind) for path, entry in table.items()}


def measure(
    weights: Mapping[str, np.ndarray],
    find_sizes: Callable[[Shapes], Sizes | None],
    find_contradiction: Callable[[Shapes], str],
    source: str,
    title: str,
) -> Sizes:
    """The sizes of a file's network by a module's functions; `InputError` where it is not the one of this title."""
    shapes = {name: array.shape for name, array in weights.items()}
    if (sizes := find_sizes(shapes)) is None:
        raise InputError(f"{source}: not {title}: {find_contradiction(shapes)}")
    return sizes


def build(
    name: str,
    sizes: Sizes,
    table: Mapping[str, Entry],
    weights: Mapping[str, np.ndarray],
    source: str,
    *,
    ignored: Sequence[str] = (),
    adapt: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]] = dict,
) -> tuple[Network, dict[str, np.ndarray]]:
    """Builds a network with the tensors of a file; without labels, its trunk's alone.

    Args:
        name: One of `models.COMPARISONS`.
        sizes: Of the network.
        table: The tensors to convert, by Flax path.
        weights: The file's, by name.
        source: The file, for messages.
        ignored: See `convert`.
        adapt: From the converted arrays, by Flax path, to all of the network's.

    Returns:
        The network and its variables by path.

    Raises:
        InputError: listing tensors of another shape by their names in the file, or what else does not fit.
    """
    arrays = adapt(convert(table, weights, ignored=ignored, source=source))
    kind = COMPARISONS[name]
    try:
        network = Network(kind.trunk(**sizes.trunk), kind.head(sizes.num_labels or 1, **sizes.head))
        own = network_lib.shapes(network, sizes.shape)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except (ArithmeticError, TypeError, ValueError, flax.errors.FlaxError) as error:  # of sizes that no layer takes
        reason = describe(error)
        raise InputError(f"{source}: its tensors have sizes of which no network can be built ({reason})") from error
    exclude = () if sizes.num_labels else ("head",)
    return network, _fit(own, table, arrays, source, exclude)


def _fit(
    own: Mapping[str, Any],
    table: Mapping[str, Entry],
    arrays: Mapping[str, np.ndarray],
    source: str,
    exclude: Sequence[str],
) -> dict[str, np.ndarray]:
    """A network's variables by path, with the arrays of a file; modules that `exclude` names are left out."""
    wrong = []
    for path, leaf in weights_lib.flatten(own).items():
        if path in table and arrays[path].shape != leaf.shape:
            found, expected = (_turn(shape, table[path].kind) for shape in (arrays[path].shape, leaf.shape))
            wrong.append(f"{table[path].name} {found}, expected {expected}")
    _refuse(source, {"of another shape": wrong})
    merged = weights_lib.flatten(weights_lib.merge(own, arrays, source=source, exclude=exclude))
    return {path: leaf for path, leaf in merged.items() if not weights_lib.matches(path, exclude)}


def _arrange(array: np.ndarray, kind: str) -> np.ndarray:
    return array if kind == "as is" else np.ascontiguousarray(array.T)


def _turn(shape: tuple[int, ...], kind: str) -> list[int]:
    """The shape in the file of an array of this shape in Flax."""
    return list(shape if kind == "as is" else reversed(shape))


def _refuse(source: str, problems: Mapping[str, Sequence[str]]) -> None:
    listed = [f"{title} ({len(items)}): {_shorten(items)}" for title, items in problems.items() if items]
    if listed:
        raise InputError(
            f"{source}: tensors do not form the network; {'; '.join(listed)}. Give the file that its authors publish"
        )


def _shorten(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return ", ".join(items[:_MOST]) + more
