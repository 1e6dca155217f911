"""An ONNX graph while it is built: values, nodes and constants.

A value may be smaller than its shape says, where operators broadcast.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ecg_jax.errors import InputError

Shape = tuple[Any, ...]  # int, or the symbolic number of examples times an int


@dataclasses.dataclass(frozen=True)
class Value:
    """A constant, or what a node gives."""

    shape: Shape  # what JAX says
    held: Shape  # equal to it, or broadcast to it
    dtype: np.dtype
    constant: np.ndarray | None = None
    name: str = ""

    @classmethod
    def wrap(cls, constant: Any, shape: Shape | None = None) -> "Value":
        """A constant, broadcast to `shape` where that is given."""
        array = np.asarray(constant)
        return cls(array.shape if shape is None else shape, array.shape, array.dtype, array)


@dataclasses.dataclass
class Graph:
    """Nodes and constants while a function is converted."""

    batch: Any  # the symbolic number of examples
    nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
    constants: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    batch_name: str = ""  # of its value, `[1]` int64
    count: int = 0

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node with one output, whose name is returned."""
        self.count += 1
        name = f"{operator.lower()}{self.count}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def keep(self, array: Any, dtype: Any = None) -> str:
        """Adds a constant, once where several are equal; its name."""
        found = np.asarray(array, dtype)
        for name, other in self.constants.items():
            if found.dtype == other.dtype and found.shape == other.shape and found.tobytes() == other.tobytes():
                return name
        self.count += 1
        self.constants[name := f"constant{self.count}"] = found
        return name

    def name(self, value: Value) -> str:
        """The name of a value, as small as it is held."""
        return value.name if value.constant is None else self.keep(value.constant)

    def fill(self, value: Value) -> str:
        """The name of a value of its whole shape."""
        if value.held == value.shape:
            return self.name(value)
        return self.add("Expand", [self.name(value), self.shape(value.shape)])

    def shape(self, shape: Shape) -> str:
        """The name of a shape, `[dimensions]` int64."""
        if all(isinstance(size, int) for size in shape):
            return self.keep(shape, np.int64)
        pieces = []
        for size in shape:
            if isinstance(size, int):
                pieces.append(self.keep([size], np.int64))
            else:
                pieces.append(self.add("Mul", [self.batch_name, self.keep([self.factor(size)], np.int64)]))
        return self.add("Concat", pieces, axis=0)

    def factor(self, size: Any) -> int:
        """How many times the number of examples a size is."""
        factor = int(size // self.batch) if isinstance(size // self.batch, int) else 0
        if factor < 1 or size != factor * self.batch:
            raise InputError(f"a size of {size} cannot be written as ONNX; --format=stablehlo can")
        return factor

    def reshape(self, value: Value, shape: Shape) -> str:
        """The name of the whole value in another shape."""
        symbolic = sum(not isinstance(size, int) for size in shape)
        if symbolic > 1:
            return self.add("Reshape", [self.fill(value), self.shape(shape)])
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        return self.add("Reshape", [self.fill(value), self.keep(sizes, np.int64)])


def is_known(shape: Shape) -> bool:
    """Whether a shape does not depend on the number of examples."""
    return all(isinstance(size, int) for size in shape)
