"""From a function of JAX to an ONNX graph: each primitive that it consists of becomes one operator or a few.

What depends on constants alone is computed here.
"""

from typing import Any

import numpy as np
import onnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from onnx import TensorProto, helper, numpy_helper

from ecg_jax.errors import InputError
from ecg_jax.exporting.onnx_graph import Graph, Value, is_known
from ecg_jax.exporting.onnx_operators import ELEMENTWISE, OTHERS, SEVERAL

OPSET = 18
IR_VERSION = 9  # of the same year as the opset
_CALLS = ("checkpoint", "closed_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "jit", "pjit")


def convert(closed: ClosedJaxpr, batch: Any, names: tuple[str, str]) -> onnx.GraphProto:
    """Converts a function of one array, whose first size is `batch`, to one array.

    Args:
        closed: The function, traced.
        batch: The symbolic number of examples.
        names: Of input and output.

    Raises:
        InputError: on a primitive that is not known here.
    """
    graph = Graph(batch)
    [variable] = closed.jaxpr.invars
    first = graph.add("Shape", [names[0]], start=0, end=1)
    graph.batch_name = first
    shape = tuple(variable.aval.shape)
    given = Value(shape, shape, np.dtype(variable.aval.dtype), name=names[0])
    [made] = _run(graph, closed, [given])
    graph.nodes.append(helper.make_node("Identity", [graph.fill(made)], [names[1]], name=names[1]))
    described = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", *sizes])
        for name, sizes in zip(names, (shape[1:], made.shape[1:]), strict=True)
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    return helper.make_graph(graph.nodes, "ecg_jax", described[:1], described[1:], constants)


def _run(graph: Graph, closed: ClosedJaxpr, given: list[Value]) -> list[Value]:
    """Adds the nodes of a function; what it gives."""
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, map(Value.wrap, closed.consts), strict=True))
    values |= dict(zip(jaxpr.invars, given, strict=True))
    for equation in jaxpr.eqns:
        inputs = [_read(atom, values) for atom in equation.invars]
        made = _run_one(graph, equation, inputs)
        values |= dict(zip(equation.outvars, made, strict=True))
    return [_read(atom, values) for atom in jaxpr.outvars]


def _run_one(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        return _branch(graph, equation, inputs)
    if (called := _find_function(name, params)) is not None:
        return _run(graph, called, inputs[len(inputs) - len(called.jaxpr.invars) :])
    aval = equation.outvars[0].aval
    shape, dtype = tuple(aval.shape), np.dtype(aval.dtype)
    if name == "broadcast_in_dim":
        return [_broadcast(graph, inputs[0], shape, params["broadcast_dimensions"])]
    constants = [each.constant for each in inputs if each.constant is not None and is_known(each.shape)]
    if len(constants) == len(inputs) and is_known(shape):
        arrays = [np.broadcast_to(array, each.shape) for array, each in zip(constants, inputs, strict=True)]
        return [Value.wrap(np.asarray(equation.primitive.bind(*arrays, **params)))]
    held = shape
    if name in ELEMENTWISE or name in SEVERAL:
        held = _broadcast_held([each.held for each in inputs])
    convert = OTHERS.get(name)
    if name in ELEMENTWISE:
        made = graph.add(ELEMENTWISE[name], [graph.name(each) for each in inputs])
    elif convert is not None:
        made = convert(graph, params, inputs, aval)
    else:
        raise InputError(f"the model's operation {name} cannot be written as ONNX; --format=stablehlo can")
    return [Value(shape, held, dtype, name=made)]


def _find_function(name: str, params: dict[str, Any]) -> ClosedJaxpr | None:
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


def _read(atom: Any, values: dict[Any, Value]) -> Value:
    """The value of a variable or a literal."""
    if isinstance(atom, Literal):
        aval: Any = atom.aval
        return Value.wrap(np.asarray(atom.val, aval.dtype))
    return values[atom]


def _broadcast_held(shapes: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*aligned, strict=True))


def _broadcast(graph: Graph, value: Value, shape: Any, places: tuple[int, ...]) -> Value:
    """Gives a value more dimensions, without repeating it."""
    aligned: list[Any] = [1] * len(shape)
    own = (1,) * (len(places) - len(value.held)) + tuple(value.held)
    for place, size in zip(places, own, strict=True):
        aligned[place] = size
    if value.constant is not None:
        return Value(shape, tuple(aligned), value.dtype, value.constant.reshape(aligned))
    name = value.name
    if tuple(aligned) != tuple(value.held):
        name = graph.reshape(Value(value.held, value.held, value.dtype, name=name), tuple(aligned))
    return Value(shape, tuple(aligned), value.dtype, name=name)


def _branch(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    """A condition; its branches see the values around them."""
    condition = graph.add("Cast", [graph.name(inputs[0])], to=helper.np_dtype_to_tensor_dtype(np.dtype(bool)))
    outer, branches = graph.nodes, []
    for branch in equation.params["branches"]:  # if false, if true
        graph.nodes = []
        made = _run(graph, branch, inputs[1:])
        names = [graph.add("Identity", [graph.fill(each)]) for each in made]
        outputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(each.dtype), None)
            for name, each in zip(names, made, strict=True)
        ]
        branches.append(helper.make_graph(graph.nodes, f"branch{graph.count}", [], outputs))
    graph.nodes = outer
    graph.count += 1
    names = [f"if{graph.count}_{i}" for i in range(len(equation.outvars))]
    node = helper.make_node("If", [condition], names, name=f"if{graph.count}", else_branch=branches[0],
                            then_branch=branches[1])  # fmt: skip
    graph.nodes.append(node)
    avals = [variable.aval for variable in equation.outvars]
    return [
        Value(tuple(aval.shape), tuple(aval.shape), np.dtype(aval.dtype), name=name)
        for name, aval in zip(names, avals, strict=True)
    ]
