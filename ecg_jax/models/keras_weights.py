"""Keras' arrays of the reference's layers become those of the Flax network.

What the Flax network does not have is expressed by what it has: a convolution's bias by the mean of the BatchNorm
after it, another epsilon by BatchNorm's scale, a shortcut without a convolution by one that changes nothing. With
stored statistics all of this is exact.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.keras_files import Arrays
from ecg_jax.models.keras_layers import create_table
from ecg_jax.models.outputs import OUTPUT

_EPSILON = 1e-3  # of the reference's BatchNorms
_FLAX_LEAF = {
    "kernel": "params/{}/kernel",
    "bias": "params/{}/bias",
    "gamma": "params/{}/scale",
    "beta": "params/{}/bias",
    "moving_mean": "batch_stats/{}/mean",
    "moving_variance": "batch_stats/{}/var",
}
_DIMENSIONS = {"conv": 3, "dense": 2, "norm": 1}


def find_slots(layers: Mapping[str, Arrays], path: str) -> dict[str, str]:
    """Layer names by Flax path, where the file says nothing but an order.

    Raises:
        InputError: when the layers are not those of the reference.
    """
    stored: dict[str, list[str]] = {"conv": [], "norm": [], "dense": []}
    for name, arrays in layers.items():
        dimensions = arrays["kernel"].ndim if "kernel" in arrays else 0
        kind = "norm" if "moving_mean" in arrays else {3: "conv", 2: "dense"}.get(dimensions)
        if kind is None:
            raise InputError(f"{path}: not the reference network; layer {name} holds {', '.join(arrays)}")
        stored[kind].append(name)
    convs, norms, dense = (len(names) for names in stored.values())
    units, rest = divmod(convs - 1, 3)
    if rest or units < 1 or norms != 2 * units + 1 or dense != 1:
        raise InputError(
            f"{path}: not the reference network; found {convs} convolutions, {norms} BatchNorms and "
            f"{dense} dense layers, expected 1 + 3u, 1 + 2u and 1 for u residual units"
        )
    order = {kind: iter(names) for kind, names in stored.items()}
    slots = {row.flax_path: next(order[row.kind]) for row in create_table(units) if row.flax_path}
    for unit in range(1, units + 1):
        places = [f"trunk/unit{unit}/{name}" for name in ("conv1", "conv2", "shortcut")]
        trio = [slots[place] for place in places]
        shortcut = min(trio, key=lambda name: layers[name]["kernel"].shape[0])
        mains = [name for name in trio if name != shortcut]
        widens = [layers[name]["kernel"].shape[1] != layers[name]["kernel"].shape[2] for name in mains]
        first, second = reversed(mains) if widens == [False, True] else mains
        slots |= dict(zip(places, (first, second, shortcut), strict=True))
    return slots


def convert(layers: Mapping[str, Arrays], names: Mapping[str, str], epsilons: Mapping[str, float], path: str) -> Arrays:
    """Makes Flax weights of Keras' arrays.

    Args:
        layers: Keras' arrays by the Flax path of the layer.
        names: Keras' names of the layers likewise, for messages.
        epsilons: Of BatchNorms likewise, where they are known; otherwise the reference's.
        path: Of the file, for messages.

    Returns:
        Arrays by Flax path of the array.

    Raises:
        InputError: naming a layer whose arrays the network cannot have.
    """
    taps = len(layers["trunk/stem/conv"].get("kernel", ()))
    for place, arrays in layers.items():
        _check(arrays, place, 1 if place.endswith("shortcut") else taps, f"{path}: layer {names[place]}")
    complete = {place: _complete(arrays, place) for place, arrays in layers.items()}
    complete |= {
        place: {"kernel": np.eye(len(arrays["kernel"][0]), dtype=np.float32)[None]}
        for second, arrays in layers.items()
        if second.endswith("conv2") and (place := second.replace("conv2", "shortcut")) not in layers
    }
    complete |= {
        place: _absorb_epsilon(complete[place], epsilon)
        for place, epsilon in epsilons.items()
        if "gamma" in complete[place] and epsilon != _EPSILON
    }
    complete = _absorb_biases(complete)
    return {
        _FLAX_LEAF[leaf].format(place): value for place, arrays in complete.items() for leaf, value in arrays.items()
    }


def _check(arrays: Arrays, place: str, taps: int, source: str) -> None:
    """Refuses arrays that are not those of the layer at a place, whose convolution has as many taps."""
    if unknown := [leaf for leaf in arrays if leaf not in _FLAX_LEAF]:
        raise InputError(f"{source} has a weight {unknown[0]!r}; known: {', '.join(_FLAX_LEAF)}")
    kind = "dense" if place == OUTPUT else "norm" if "/norm" in place else "conv"
    wanted = "moving_mean" if kind == "norm" else "kernel"
    if wanted not in arrays or arrays[wanted].ndim != _DIMENSIONS[kind]:
        found = ", ".join(f"{leaf} {array.shape}" for leaf, array in arrays.items())
        raise InputError(f"{source} holds {found}; expected a {wanted} of {_DIMENSIONS[kind]} dimension(s)")
    if kind == "conv" and len(arrays["kernel"]) != taps:
        raise InputError(
            f"{source} has kernel_size {len(arrays['kernel'])}; supported: that of the first convolution, and 1 in "
            "shortcuts"
        )


def _complete(arrays: Arrays, place: str) -> Arrays:
    """With the arrays that a layer without scale, centre or bias leaves out."""
    if "moving_mean" in arrays:
        mean = arrays["moving_mean"]
        return {"gamma": np.ones_like(mean), "beta": np.zeros_like(mean)} | arrays
    return ({"bias": np.zeros_like(arrays["kernel"][0])} if place == OUTPUT else {}) | arrays


def _absorb_epsilon(norm: Arrays, epsilon: float) -> Arrays:
    """With a scale that does with the reference's epsilon what the stored one does with this."""
    variance = norm["moving_variance"].astype(np.float64)
    gamma = norm["gamma"] * np.sqrt((variance + _EPSILON) / (variance + epsilon))
    return norm | {"gamma": gamma.astype(np.float32)}


def _absorb_biases(layers: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """Without biases of convolutions: the mean of the BatchNorm that they come to is less by as much.

    What a unit's last convolution and its shortcut add goes on along the shortcuts: pooling hands a constant on, and a
    convolution of one tap multiplies it.
    """
    found = {place: dict(arrays) for place, arrays in layers.items()}
    biases = {place: arrays.pop("bias") for place, arrays in found.items() if "bias" in arrays and place != OUTPUT}
    if not biases:
        return found

    def absorb(norm: str, constant: Any) -> None:
        mean = found[f"trunk/{norm}"]["moving_mean"]
        found[f"trunk/{norm}"]["moving_mean"] = (mean.astype(np.float64) - constant).astype(np.float32)

    def bias(convolution: str) -> np.ndarray:
        return biases.get(f"trunk/{convolution}", np.zeros(())).astype(np.float64)

    absorb("stem/norm", bias("stem/conv"))
    carried: Any = None  # by the shortcut; that of the first unit begins after a BatchNorm
    for unit in (f"unit{number}" for number in range(1, 1 + sum(place.endswith("conv2") for place in layers))):
        absorb(f"{unit}/norm1", bias(f"{unit}/conv1"))
        handed_on = 0.0 if carried is None else carried @ found[f"trunk/{unit}/shortcut"]["kernel"][0]
        carried = handed_on + bias(f"{unit}/conv2") + bias(f"{unit}/shortcut")
        absorb(f"{unit}/norm2", carried)
    return found
