"""Recognizes the reference network in a Keras configuration, and reads what may differ from it.

The graph is followed from the output back to the input, so that every layer that contributes to the output is
examined; layer names, which have offsets and another order, decide nothing. What the file does not state is taken to be
as in the reference.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ecg_jax.errors import InputError
from ecg_jax.models.imports.keras_graph import Call, Graph, Node
from ecg_jax.models.outputs import OUTPUT

STRIDE = 4  # of every unit of the reference
_SAME = ("same", "valid", "causal")  # of one tap, which needs no padding
_REGRESSIONS = ("mean", "mse", "mae", "mape", "msle", "huber", "logcosh", "poisson", "cosine")


@dataclasses.dataclass(frozen=True)
class Topology:
    """The reference network, as a configuration describes it."""

    layers: dict[str, Node]  # Keras' layers by Flax path; without a shortcut's convolution where the file has none
    strides: tuple[int, ...]  # of the units
    samples: int | None  # length of the input; None where it is not stated
    leads: int | None  # channels of the input likewise
    activation: str  # from logits to probabilities, `sigmoid` or `softmax`
    notes: tuple[str, ...]  # assumptions

    @property
    def epsilons(self) -> dict[str, float]:
        """Of the BatchNorms that state it, by Flax path."""
        return {place: node.get("epsilon", 0) for place, node in self.layers.items() if "epsilon" in node.config}


def recognize(config: Mapping[str, Any], loss: Any, path: str) -> Topology:
    """Recognizes the reference network, of any width, depth, strides and length.

    `config` is that of a serialized functional model, `loss` as Keras serializes it, `path` that of the file, for
    messages. `InputError` names the first layer, from the output backwards, that the network here does not support.
    """
    graph = Graph(config, path)
    activations, call = graph.take_activations()
    dense = graph.take(call, "Dense")
    activation, notes = _choose_activation([node.activation for node in activations], dense, loss)
    flatten = graph.before(call)
    graph.take(flatten, "Flatten").require("data_format", "channels_last")
    units, stem = _list_units(graph, graph.before(flatten))
    signal = graph.take(graph.before(stem["conv"]), "InputLayer")
    shape = signal.config.get("batch_shape") or signal.config.get("batch_input_shape") or (None, None, None)
    if len(shape) != 3:
        raise signal.refuse(f"shape {shape}", "batch, samples, leads")
    layers = {OUTPUT: dense}
    strides, samples = [], shape[1]
    for number, calls in enumerate([stem, *units]):
        nodes = {name: graph.nodes[call] for name, call in calls.items()}
        if number:
            strides.append(_check_strides(nodes, samples))
            samples = samples and -(-samples // strides[-1])
        nodes.pop("pool", None)
        for name, node in nodes.items():
            _check(node, is_strided=name == "conv2")
        layers |= {f"trunk/{f'unit{number}' if number else 'stem'}/{name}": node for name, node in nodes.items()}
    reduced = sorted({node.precision for node in layers.values()} - {"float32", "float64"})
    if reduced:
        notes.append(f"{path}: computed in float32, where the file has {', '.join(reduced)}")
    return Topology(layers, tuple(strides), shape[1], shape[2], activation, tuple(notes))


def _list_units(graph: Graph, call: Call) -> tuple[list[dict[str, Call]], dict[str, Call]]:
    """Calls by name of every unit, the first first, and of the stem; `call` is the last ReLU's."""
    units: list[dict[str, Call]] = []
    origin: Call | None = None  # where the shortcut of the unit after this one begins
    while True:
        graph.take_relu(call)
        norm = graph.before(call)
        graph.take(norm, "BatchNormalization")
        total = graph.before(norm)
        is_stem = graph.nodes[total].kind == "Conv1D"
        expected = call if is_stem else total
        if origin is not None and origin != expected:
            raise InputError(
                f"{graph.nodes[total].path}: not the reference network; a shortcut begins at layer {origin[0]}, where "
                f"{expected[0]} is expected"
            )
        if is_stem:
            return units[::-1], {"conv": total, "norm": norm}
        sum_node = graph.take(total, "Add")
        if len(sum_node.inputs) != 2:
            raise sum_node.refuse(f"{len(sum_node.inputs)} inputs", "2")
        unit, origin, call = _read_unit(graph, sum_node)
        units.append(unit | {"norm2": norm})


def _read_unit(graph: Graph, total: Node) -> tuple[dict[str, Call], Call, Call]:
    """Calls by name between a unit's sum and its input; where its shortcut begins; and its first ReLU."""
    origin, second = sorted(map(graph.skip, total.inputs), key=graph.depths.__getitem__)
    unit = {"conv2": second}
    graph.take(second, "Conv1D")
    if graph.nodes[origin].kind == "Conv1D":  # else as many channels as before, handed on as they are
        unit["shortcut"], origin = origin, graph.before(origin)
    if graph.nodes[origin].kind == "MaxPooling1D":
        unit["pool"], origin = origin, graph.before(origin)
    relu = graph.before(second)
    graph.take_relu(relu)
    unit["norm1"] = graph.before(relu)
    graph.take(unit["norm1"], "BatchNormalization")
    unit["conv1"] = graph.before(unit["norm1"])
    graph.take(unit["conv1"], "Conv1D")
    return unit, origin, graph.before(unit["conv1"])


def _check(node: Node, *, is_strided: bool) -> None:
    """Refuses settings of a convolution or BatchNorm that the network here cannot have."""
    if node.kind == "BatchNormalization":
        node.require("axis", -1, 2)
        epsilon = node.get("epsilon", 0)
        if not isinstance(epsilon, int | float) or not 0 <= epsilon < 1:
            raise node.refuse(f"epsilon {epsilon}", "a number of at least 0 and below 1")
        if node.is_training:
            raise node.refuse("training=True", "stored statistics")
        return
    if node.get("kernel_size", 0) == 1:
        node.require("padding", *_SAME)
    else:
        node.require("padding", "same")
        node.require("dilation_rate", 1)
    node.require("groups", 1)
    node.require("data_format", "channels_last")
    if not is_strided:
        node.require("strides", 1)
    if node.activation != "linear":
        raise node.refuse(f"activation {node.activation}", "linear")


def _check_strides(nodes: Mapping[str, Node], samples: int | None) -> int:
    """The factor by which a unit, with `samples` at its input, shortens time, the same on both paths."""
    convolution, pool = nodes["conv2"], nodes.get("pool")
    if pool is None:
        convolution.require("strides", 1)
        return 1
    stride = convolution.get("strides", STRIDE)
    if not isinstance(stride, int) or stride < 1:
        raise convolution.refuse(f"strides {stride}", "a whole number")
    pool.require("pool_size", stride)
    if pool.get("strides", None) is not None:
        pool.require("strides", stride)
    pool.require("data_format", "channels_last")
    if samples is None or samples % stride:  # else there is nothing to pad
        pool.require("padding", "same")
    return stride


def _choose_activation(applied: list[str], dense: Node, loss: Any) -> tuple[str, list[str]]:
    """The function from logits to probabilities, and assumptions made for it; `applied` follow the dense layer."""
    own = dense.activation if "activation" in dense.config or applied else "sigmoid"  # a file that does not state it
    found = [function for function in (own, *reversed(applied)) if function != "linear"]
    name = " then ".join(found) or "linear"
    notes = []
    if name == "linear":
        stated = _name_loss(loss)
        if stated.startswith(_REGRESSIONS):
            raise dense.refuse(f"a linear output and loss {stated}", "sigmoid, softmax, or logits of one of them")
        name = "softmax" if "categorical" in stated else "sigmoid"
        notes.append(
            f"{dense.path}: the output of layer {dense.name} is linear; its values are taken to be logits of a {name} "
            f"(loss: {stated or 'not stated'})"
        )
    if name not in ("sigmoid", "softmax"):
        raise dense.refuse(f"output activation {name}", "sigmoid, softmax, linear")
    if name == "softmax" and dense.get("units", 0) == 1:
        raise dense.refuse("a softmax of one unit, which is always 1", "2 or more units")
    return name, notes


def _name_loss(loss: Any) -> str:
    """Its name in lower case, without underscores; empty where it is not stated."""
    if isinstance(loss, Mapping) and "class_name" in loss:
        inner = loss.get("config")
        loss = inner if isinstance(inner, str) else loss["class_name"]
    elif isinstance(loss, Mapping | list | tuple):  # one per output
        return _name_loss(next(iter(loss.values() if isinstance(loss, Mapping) else loss), ""))
    return str(loss or "").lower().replace("_", "")
