"""What is frozen, and how a frozen network behaves."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax

from ecg_jax.errors import InputError
from ecg_jax.models import weights as weights_lib
from ecg_jax.models.keras_layers import FULL_CUT, first_layers


def create_trainable_mask(
    params: Any,
    *,
    first_keras_layers: int = 0,
    patterns: Iterable[str] = (),
    fraction: float = 0.0,
    modules: Iterable[str] = (),
) -> Any:
    """Marks what learns.

    Args:
        params: The network's parameters.
        first_keras_layers: Freeze the weights among Keras' layers 1 to this (autoECG: 5).
        patterns: Freeze these paths too, such as `trunk/*` or `trunk/unit1/conv2`.
        fraction: Freeze this part of the trunk's modules too, from the input on, rounded to whole modules.
        modules: Their order, which `fraction` needs; see `models.list_modules`.

    Returns:
        Tree like `params` of bool, True where trainable.

    Raises:
        InputError: on a layer number that does not exist, a pattern that fits nothing, a fraction out of range, a
            network without Keras' layers, or when nothing is left to train.
    """
    if not 0 <= first_keras_layers <= FULL_CUT:
        raise InputError(f"freeze.first_keras_layers is {first_keras_layers}; the trunk has layers 1 to {FULL_CUT}")
    if not 0 <= fraction <= 1:
        raise InputError(f"freeze.fraction is {fraction:g}; it must be from 0 to 1")
    paths = list(weights_lib.flatten(params))
    idle = [pattern for pattern in patterns if not any(weights_lib.matches(path, [pattern]) for path in paths)]
    if idle:
        modules = sorted({path.rsplit("/", 1)[0] for path in paths})
        raise InputError(f"freeze.patterns: {', '.join(idle)} fits nothing; modules: {', '.join(modules)}")
    keras = first_layers(first_keras_layers)
    if keras and not any(weights_lib.matches(path, keras) for path in paths):
        raise InputError(
            f"freeze.first_keras_layers is {first_keras_layers}; this network has none of the reference's layers: "
            "name its modules in freeze.patterns"
        )
    frozen = (*keras, *patterns)
    mask = {path: not weights_lib.matches(path, frozen) for path in paths}
    if fraction:
        depths = weights_lib.flatten(measure_depths(params, modules))
        deepest = max(depths.values())
        mask = {path: learns and depths[path] <= deepest - round(fraction * deepest) for path, learns in mask.items()}
    if not any(mask.values()):
        raise InputError("freeze: nothing is left to train; freeze fewer layers")
    return weights_lib.unflatten(mask)


def measure_depths(params: Any, modules: Iterable[str]) -> Any:
    """Distance from the head in modules of the trunk: 0 in the head, 1 in the trunk's last module, and so on.

    A normalization beside other modules has the depth of the one before it.

    Args:
        params: The network's parameters, or any tree like them.
        modules: The trunk's modules by path in the order of their calls, see `models.list_modules`; all that are not
            directly in the trunk are passed over, as are those without parameters.

    Returns:
        Tree like `params` of int.
    """
    paths = [path.split("/") for path in weights_lib.flatten(params)]
    leaves: dict[str, set[str]] = {}
    for path in paths:
        if path[0] == "trunk":
            leaves.setdefault(path[1], set()).add(path[-1])
    places: dict[str, int] = {}
    place = 0
    for name in (path.removeprefix("trunk/") for path in modules):
        if name in leaves:
            place += "kernel" in leaves[name] or not place
            places[name] = place
    if unknown := leaves.keys() - places:
        raise ValueError(f"the order of {', '.join(sorted(unknown))} is unknown; pass models.list_modules")
    depths = {name: 1 + place - at for name, at in places.items()}
    return weights_lib.unflatten({"/".join(path): depths[path[1]] if path[0] == "trunk" else 0 for path in paths})


def frozen_norms(trainable: Any) -> frozenset[str]:
    """Paths of the BatchNorms whose scale and bias are both frozen.

    As in Keras, these run on their stored statistics and leave them as they are.
    """
    mask = weights_lib.flatten(trainable)
    norms = {path.rsplit("/", 1)[0] for path in mask if path.endswith("/scale")}
    return frozenset(norm for norm in norms if not mask[f"{norm}/scale"] and not mask[f"{norm}/bias"])


@contextmanager
def stored_statistics(norms: frozenset[str]) -> Iterator[None]:
    """While it is entered, the named BatchNorms use their stored statistics."""

    def intercept(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        is_frozen = isinstance(context.module, nn.BatchNorm) and "/".join(context.module.path) in norms
        if is_frozen and context.method_name == "__call__":
            kwargs = kwargs | {"use_running_average": True}
        return call(*args, **kwargs)

    with nn.intercept_methods(intercept):
        yield


def partition(tree: Any, mask: Any) -> tuple[Any, Any]:
    """Splits a tree into its True and its False leaves; each is None in the other tree."""
    chosen = jax.tree.map(lambda leaf, keep: leaf if keep else None, tree, mask)
    rest = jax.tree.map(lambda leaf, keep: None if keep else leaf, tree, mask)
    return chosen, rest


def combine(chosen: Any, rest: Any) -> Any:
    """The reverse of `partition`."""
    return jax.tree.map(
        lambda mine, other: other if mine is None else mine, chosen, rest, is_leaf=lambda leaf: leaf is None
    )
