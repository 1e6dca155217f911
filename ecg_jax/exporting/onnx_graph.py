"""An ONNX graph of a function of JAX: each primitive that the function consists of becomes one operator or a few.

What depends on constants alone is computed here. A value may be smaller than its shape says, where operators broadcast.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import TensorProto, helper, numpy_helper

from ecg_jax.errors import InputError

OPSET = 18
IR_VERSION = 9  # of the same year as the opset
_CALLS = ("checkpoint", "closed_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "jit", "pjit")
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


def convert(closed: ClosedJaxpr, batch: Any, names: tuple[str, str]) -> onnx.GraphProto:
    """Converts a function of one array, whose first size is `batch`, to one array.

    Args:
        closed: The function, traced.
        batch: The symbolic number of examples.
        names: Of input and output.

    Raises:
        InputError: on a primitive that is not known here.
    """
    from ecg_jax.exporting.onnx_operators import run

    graph = Graph(batch)
    [variable] = closed.jaxpr.invars
    first = graph.add("Shape", [names[0]], start=0, end=1)
    graph.batch_name = first
    shape = tuple(variable.aval.shape)
    given = Value(shape, shape, np.dtype(variable.aval.dtype), name=names[0])
    [made] = run(graph, closed, [given])
    graph.nodes.append(helper.make_node("Identity", [graph.fill(made)], [names[1]], name=names[1]))
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *sizes])
        for name, sizes in zip(names, (shape[1:], made.shape[1:]), strict=True)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    return helper.make_graph(graph.nodes, "ecg_jax", described[:1], described[1:], constants)


def find_function(name: str, params: dict[str, Any]) -> ClosedJaxpr | None:
    """The function that a primitive calls, if it does nothing else."""
    if name not in _CALLS:
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        match params.get(key):
            case ClosedJaxpr() as closed:
                return closed
            case Jaxpr() as called:
                return ClosedJaxpr(called, ())
    return None


def read(atom: Any, values: dict[Any, Value]) -> Value:
    """The value of a variable or a literal."""
    if isinstance(atom, Literal):
        return Value.wrap(np.asarray(atom.val, atom.aval.dtype))
    return values[atom]


def is_known(shape: Shape) -> bool:
    """Whether a shape does not depend on the number of examples."""
    return all(isinstance(size, int) for size in shape)
