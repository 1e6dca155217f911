"""A Keras model's configuration as a graph of layer calls."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ecg_jax.errors import InputError

Call = tuple[str, int]  # a layer's name, and which of its calls
# Layers that return their input when predicting.
_IDENTITIES = (
    *("Dropout", "SpatialDropout1D", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "Identity"),
)
_ACTIVATIONS = ("Activation", "ReLU", "Softmax")
_RELU = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}  # of Keras' layer ReLU: no more than max(x, 0)
_PRECISIONS = ("float32", "float64", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Node:
    """One call of a layer."""

    path: str  # of the file, for messages
    name: str  # of the layer
    kind: str  # its class; a user's own class is preceded by its package, `Custom>Conv1D`
    config: Mapping[str, Any]  # its settings
    inputs: tuple[Call, ...]  # the calls whose outputs it takes
    is_training: bool  # it was called with `training=True`

    def refuse(self, found: str, supported: str) -> InputError:
        """The error for something that the network here does not support."""
        return InputError(f"{self.path}: layer {self.name} ({self.kind}) has {found}; supported: {supported}")

    def require(self, key: str, *supported: Any) -> None:
        """Refuses a setting that is none of those; the first is the default where the file does not state it."""
        value = self.get(key, supported[0])
        if value not in supported:
            raise self.refuse(f"{key} {value}", " or ".join(map(str, supported)))

    def get(self, key: str, default: Any) -> Any:
        """A setting; of a list of one, its element."""
        value = self.config.get(key, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @property
    def activation(self) -> str:
        """The function that it applies: `linear` for none, otherwise Keras' name, with unusual settings."""
        if self.kind == "Softmax":
            axis = self.get("axis", -1)
            return "softmax" if axis in (-1, 1) else f"softmax over axis {axis}"
        if self.kind == "ReLU":
            set_otherwise = [
                f"{key} {self.config[key]}" for key, usual in _RELU.items() if self.config.get(key) not in (None, usual)
            ]
            return " with ".join(["relu", *set_otherwise])
        value = self.config.get("activation", "relu" if self.kind == "Activation" else "linear")
        if isinstance(value, Mapping):  # an object's class, or a function by name
            value = value["config"] if isinstance(value.get("config"), str) else value["class_name"]
        return value or "linear"

    @property
    def is_identity(self) -> bool:
        """Whether it returns its input when predicting."""
        return self.kind in _IDENTITIES or (self.kind == "Activation" and self.activation == "linear")

    @property
    def precision(self) -> str:
        """Of its computation, as Keras names it; raises `InputError` on quantized numbers."""
        value = self.config.get("dtype") or "float32"
        if isinstance(value, Mapping):
            value = value["config"]["name"]
        if value not in _PRECISIONS:
            raise self.refuse(f"dtype {value}", ", ".join(_PRECISIONS))
        return value


class Graph:
    """All calls of a model's layers, followed from the output back to the input."""

    def __init__(self, topology: Mapping[str, Any], path: str) -> None:
        """Parses `config` of a serialized model of Keras 2 or 3."""
        self._path = path
        kinds = {layer["config"]["name"]: _find_kind(layer) for layer in topology["layers"]}
        self.nodes: dict[Call, Node] = {}
        for layer in topology["layers"]:
            name = layer["config"]["name"]
            for i, call in enumerate(layer["inbound_nodes"] or [[]]):
                inputs = tuple(_find_calls(call, kinds))
                self.nodes[name, i] = Node(path, name, kinds[name], layer["config"], inputs, _is_training(call))
        self.depths = self._measure_depths()
        used = {call for node in self.nodes.values() for call in node.inputs}
        named = list(_find_calls(topology.get("output_layers"), kinds))
        outputs = named or [call for call in self.nodes if call not in used]
        if len(outputs) != 1:
            names = ", ".join(name for name, _ in outputs)
            raise InputError(f"{path}: not the reference network; it has {len(outputs)} outputs ({names}), expected 1")
        self.output = self.skip(outputs[0])

    def skip(self, call: Call) -> Call:
        """The nearest call at or before this one that is not an identity when predicting."""
        node = self.nodes[call]
        while node.is_identity:
            if node.is_training:
                raise node.refuse("training=True", "layers that do nothing when predicting")
            (call,) = node.inputs
            node = self.nodes[call]
        return call

    def before(self, call: Call) -> Call:
        """The call whose output this one takes, without identities."""
        inputs = self.nodes[call].inputs
        if len(inputs) != 1:
            raise self.nodes[call].refuse(f"{len(inputs)} inputs", "1")
        return self.skip(inputs[0])

    def take(self, call: Call, kind: str) -> Node:
        """The node of a call that must be of a kind."""
        node = self.nodes[call]
        if node.kind != kind:
            raise InputError(
                f"{self._path}: not the reference network; layer {node.name} is of class {node.kind}, expected {kind}"
            )
        return node

    def take_relu(self, call: Call) -> Node:
        """The node of a call that must apply ReLU."""
        node = self.nodes[call]
        if node.kind not in _ACTIVATIONS:
            self.take(call, "Activation")
        if node.activation != "relu":
            raise node.refuse(f"activation {node.activation}", "relu")
        return node

    def take_activations(self) -> tuple[list[Node], Call]:
        """The activations that follow the last layer with weights, from the output backwards; and that layer's call."""
        found, call = [], self.output
        while self.nodes[call].kind in _ACTIVATIONS:
            found.append(self.nodes[call])
            call = self.before(call)
        return found, call

    def _measure_depths(self) -> dict[Call, int]:
        """Number of calls from the input to each call, by the longest path; a `RecursionError` in a circle."""
        depths: dict[Call, int] = {}

        def measure(call: Call) -> int:
            if call not in depths:
                depths[call] = 1 + max(map(measure, self.nodes[call].inputs), default=0)
            return depths[call]

        for call in self.nodes:
            measure(call)
        return depths


def _find_kind(layer: Mapping[str, Any]) -> str:
    registered = layer.get("registered_name") or ""
    return registered if ">" in registered else layer["class_name"]


def _find_calls(nodes: Any, known: Mapping[str, str]) -> Iterator[Call]:
    """Calls in `inbound_nodes`: `[[name, 0, 0, {}], ...]` in Keras 2, `keras_history` in Keras 3."""
    if isinstance(nodes, Mapping):
        yield from _find_calls(list(nodes.values()), known)
    elif isinstance(nodes, list | tuple):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int) and nodes[0] in known:
            yield nodes[0], nodes[1]
            return
        for node in nodes:
            yield from _find_calls(node, known)


def _is_training(call: Any) -> bool:
    """Whether `training=True` is anywhere among a call's arguments."""
    if isinstance(call, Mapping):
        return call.get("training") is True or any(map(_is_training, call.values()))
    return isinstance(call, list | tuple) and any(map(_is_training, call))
