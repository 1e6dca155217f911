"""ONNX operators of JAX's primitives: those that this package's networks consist of."""

import string
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr
from onnx import helper

from ecg_jax.errors import InputError
from ecg_jax.exporting.onnx_graph import Graph, Value, find_function, is_known, read

_ELEMENTWISE = {
    "abs": "Abs", "add": "Add", "add_any": "Add", "and": "And", "ceil": "Ceil", "copy": "Identity", "cos": "Cos",
    "div": "Div", "eq": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual",
    "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less", "max": "Max",
    "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "pow": "Pow", "sign": "Sign", "sin": "Sin",
    "sqrt": "Sqrt", "stop_gradient": "Identity", "sub": "Sub", "tanh": "Tanh", "xor": "Xor",
}  # fmt: skip
_REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum"}
_OF_TRUTH = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}
_Convert = Callable[[Graph, dict[str, Any], list[Value], Any], str]


def run(graph: Graph, closed: ClosedJaxpr, given: list[Value]) -> list[Value]:
    """Adds the nodes of a function; what it gives."""
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, map(Value.wrap, closed.consts), strict=True))
    values |= dict(zip(jaxpr.invars, given, strict=True))
    for equation in jaxpr.eqns:
        inputs = [read(atom, values) for atom in equation.invars]
        made = _run_one(graph, equation, inputs)
        values |= dict(zip(equation.outvars, made, strict=True))
    return [read(atom, values) for atom in jaxpr.outvars]


def _run_one(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        return _branch(graph, equation, inputs)
    if (called := find_function(name, params)) is not None:
        return run(graph, called, inputs[len(inputs) - len(called.jaxpr.invars) :])
    aval = equation.outvars[0].aval
    shape, dtype = tuple(aval.shape), np.dtype(aval.dtype)
    if name == "broadcast_in_dim":
        return [_broadcast(graph, inputs[0], shape, params["broadcast_dimensions"])]
    if all(each.constant is not None and is_known(each.shape) for each in inputs) and is_known(shape):
        arrays = [np.broadcast_to(each.constant, each.shape) for each in inputs]
        return [Value.wrap(np.asarray(equation.primitive.bind(*arrays, **params)))]
    held = shape
    if name in _ELEMENTWISE or name in _SEVERAL:
        held = _broadcast_held([each.held for each in inputs])
    convert = _OTHERS.get(name)
    if name in _ELEMENTWISE:
        made = graph.add(_ELEMENTWISE[name], [graph.name(each) for each in inputs])
    elif convert is not None:
        made = convert(graph, params, inputs, aval)
    else:
        raise InputError(f"the model's operation {name} cannot be written as ONNX; --format=stablehlo can")
    return [Value(shape, held, dtype, name=made)]


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
        made = run(graph, branch, inputs[1:])
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


def _convert_type(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Cast", [graph.name(inputs[0])], to=helper.np_dtype_to_tensor_dtype(np.dtype(aval.dtype)))


def _is_finite(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    name = graph.name(inputs[0])
    return graph.add("Not", [graph.add("Or", [graph.add("IsNaN", [name]), graph.add("IsInf", [name])])])


def _select(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    if_true, if_false = graph.name(inputs[2]), graph.name(inputs[1])
    return graph.add("Where", [graph.name(inputs[0]), if_true, if_false])


def _clamp(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    low, value, high = map(graph.name, inputs)
    return graph.add("Min", [graph.add("Max", [value, low]), high])


def _power(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Pow", [graph.name(inputs[0]), graph.keep(params["y"], inputs[0].dtype)])


def _square(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Mul", [graph.name(inputs[0])] * 2)


def _rsqrt(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Reciprocal", [graph.add("Sqrt", [graph.name(inputs[0])])])


def _log1p(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Log", [graph.add("Add", [graph.name(inputs[0]), graph.keep(1, inputs[0].dtype)])])


def _erfc(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Sub", [graph.keep(1, inputs[0].dtype), graph.add("Erf", [graph.name(inputs[0])])])


def _differ(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Not", [graph.add("Equal", [graph.name(each) for each in inputs])])


def _round(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    if int(params["rounding_method"]) != 1:
        raise InputError("the model rounds halves away from zero, which ONNX does not; --format=stablehlo does")
    return graph.add("Round", [graph.name(inputs[0])])


def _reshape(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.reshape(inputs[0], tuple(aval.shape))


def _transpose(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Transpose", [graph.fill(inputs[0])], perm=list(params["permutation"]))


def _concatenate(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    return graph.add("Concat", [graph.fill(each) for each in inputs], axis=params["dimension"])


def _stack(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    axis = params["axis"]
    shape = tuple(aval.shape[:axis]) + (1,) + tuple(aval.shape[axis + 1 :])
    return graph.add("Concat", [graph.reshape(each, shape) for each in inputs], axis=axis)


def _cut(graph: Graph, name: str, begin: list[int], end: list[int], axes: list[int], steps: list[int]) -> str:
    return graph.add("Slice", [name, *(graph.keep(each, np.int64) for each in (begin, end, axes, steps))])


def _slice(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    steps = params["strides"] or (1,) * len(aval.shape)
    bounds = zip(params["start_indices"], params["limit_indices"], steps, inputs[0].shape, strict=True)
    kept = [(axis, b, e, s) for axis, (b, e, s, size) in enumerate(bounds) if (b, s) != (0, 1) or e != size]
    if not kept:
        return graph.fill(inputs[0])
    axes, begin, end, by = (list(map(int, column)) for column in zip(*kept, strict=True))
    return _cut(graph, graph.fill(inputs[0]), begin, end, axes, by)


def _reverse(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    axes = list(params["dimensions"])
    last = np.iinfo(np.int64).min
    return _cut(graph, graph.fill(inputs[0]), [-1] * len(axes), [last] * len(axes), axes, [-1] * len(axes))


def _pad(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    below, above, between = zip(*params["padding_config"], strict=True)
    if any(between) or min(below + above) < 0:
        raise InputError("the model pads in a way that cannot be written as ONNX; --format=stablehlo can")
    pads = graph.keep([*below, *above], np.int64)
    return graph.add("Pad", [graph.fill(inputs[0]), pads, graph.name(inputs[1])], mode="constant")


def _reduce(operator: str) -> _Convert:
    def convert(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
        axes = graph.keep(params["axes"], np.int64)
        return graph.add(operator, [graph.fill(inputs[0]), axes], keepdims=0)

    return convert


def _reduce_truth(operator: str) -> _Convert:
    def convert(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
        number = graph.add("Cast", [graph.fill(inputs[0])], to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))
        found = graph.add(operator, [number, graph.keep(params["axes"], np.int64)], keepdims=0)
        return graph.add("Cast", [found], to=helper.np_dtype_to_tensor_dtype(np.dtype(bool)))

    return convert


def _multiply(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    (left_sum, right_sum), (left_batch, right_batch) = params["dimension_numbers"]
    left, right = inputs
    names = [graph.fill(left), graph.fill(right)]
    is_plain = not left_batch and tuple(left_sum) == (len(left.shape) - 1,) and tuple(right_sum) == (0,)
    if is_plain and len(right.shape) == 2:
        return graph.add("MatMul", names)
    letters = iter(string.ascii_lowercase)
    of_left = [next(letters) for _ in left.shape]
    of_right = [next(letters) for _ in right.shape]
    for mine, theirs in zip((*left_sum, *left_batch), (*right_sum, *right_batch), strict=True):
        of_right[theirs] = of_left[mine]
    of_result = [of_left[i] for i in left_batch]
    of_result += [of_left[i] for i in range(len(left.shape)) if i not in (*left_sum, *left_batch)]
    of_result += [of_right[i] for i in range(len(right.shape)) if i not in (*right_sum, *right_batch)]
    return graph.add("Einsum", names, equation=f"{''.join(of_left)},{''.join(of_right)}->{''.join(of_result)}")


def _convolve(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    numbers = params["dimension_numbers"]
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise InputError("the model's convolution cannot be written as ONNX; --format=stablehlo can")
    kernel = inputs[1]
    if kernel.constant is None:
        weights = _permute(graph, graph.fill(kernel), numbers.rhs_spec)
    else:
        weights = graph.keep(np.ascontiguousarray(kernel.constant.transpose(numbers.rhs_spec)))
    made = graph.add(
        "Conv",
        [_permute(graph, graph.fill(inputs[0]), numbers.lhs_spec), weights],
        strides=list(params["window_strides"]),
        pads=[int(below) for below, _ in params["padding"]] + [int(above) for _, above in params["padding"]],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
    )
    return _permute(graph, made, tuple(np.argsort(numbers.out_spec).tolist()))


def _permute(graph: Graph, name: str, order: tuple[int, ...]) -> str:
    return name if tuple(order) == tuple(range(len(order))) else graph.add("Transpose", [name], perm=list(order))


def _gather(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """`jnp.take` along one axis with places that are there, or a slice."""
    numbers, (operand, places) = params["dimension_numbers"], inputs
    if places.constant is not None and len(places.shape) == 1 and not numbers.collapsed_slice_dims:
        axes, begin = list(numbers.start_index_map), np.broadcast_to(places.constant, places.shape).tolist()
        end = [first + params["slice_sizes"][axis] for axis, first in zip(axes, begin, strict=True)]
        return _cut(graph, graph.fill(operand), begin, end, axes, [1] * len(axes))
    [axis] = numbers.start_index_map if len(numbers.start_index_map) == 1 else [-1]
    rank = len(places.shape) - 1
    expected = tuple(i for i in range(len(aval.shape)) if not axis <= i < axis + rank)
    sizes = tuple(1 if i == axis else size for i, size in enumerate(operand.shape))
    is_take = tuple(numbers.collapsed_slice_dims) == (axis,) and tuple(numbers.offset_dims) == expected
    if not is_take or tuple(params["slice_sizes"]) != sizes:
        raise InputError("the model's indexing cannot be written as ONNX; --format=stablehlo can")
    if places.constant is not None:
        where = graph.keep(np.broadcast_to(places.constant, places.shape)[..., 0].astype(np.int64))
    else:
        where = graph.reshape(places, tuple(places.shape[:-1]))
    return graph.add("Gather", [graph.fill(operand), where], axis=axis)


def _pool(graph: Graph, params: dict[str, Any], inputs: list[Value]) -> tuple[str, dict[str, Any]]:
    """Windows along the second of three axes: the array with time last, and attributes of the pooling."""
    windows, steps = tuple(params["window_dimensions"]), tuple(params["window_strides"])
    dilations = {*params["base_dilation"], *params["window_dilation"]}
    if len(windows) != 3 or (windows[0], windows[2]) != (1, 1) or dilations != {1}:
        raise InputError("the model's pooling cannot be written as ONNX; --format=stablehlo can")
    turned = graph.add("Transpose", [graph.fill(inputs[0])], perm=[0, 2, 1])
    pads = [int(size) for size in params["padding"][1]]
    return turned, {"kernel_shape": [windows[1]], "strides": [steps[1]], "pads": pads}


def _pool_largest(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    turned, how = _pool(graph, params, inputs)
    return graph.add("Transpose", [graph.add("MaxPool", [turned], **how)], perm=[0, 2, 1])


def _pool_sum(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    turned, how = _pool(graph, params, inputs)
    mean = graph.add("AveragePool", [turned], count_include_pad=1, **how)
    total = graph.add("Mul", [mean, graph.keep(how["kernel_shape"][0], inputs[0].dtype)])
    return graph.add("Transpose", [total], perm=[0, 2, 1])


_SEVERAL = frozenset(
    (
        "convert_element_type",
        "is_finite",
        "select_n",
        "clamp",
        "integer_pow",
        "square",
        "rsqrt",
        "log1p",
        "ne",
        "round",
        "erfc",
    )
)  # fmt: skip - elementwise, by several operators
_OTHERS: dict[str, _Convert] = {
    "convert_element_type": _convert_type,
    "is_finite": _is_finite,
    "select_n": _select,
    "clamp": _clamp,
    "integer_pow": _power,
    "square": _square,
    "rsqrt": _rsqrt,
    "log1p": _log1p,
    "ne": _differ,
    "round": _round,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "stack": _stack,
    "slice": _slice,
    "rev": _reverse,
    "pad": _pad,
    "dot_general": _multiply,
    "conv_general_dilated": _convolve,
    "gather": _gather,
    "reduce_window_max": _pool_largest,
    "reduce_window_sum": _pool_sum,
    "erfc": _erfc,
    **{name: _reduce(operator) for name, operator in _REDUCTIONS.items()},
    **{name: _reduce_truth(operator) for name, operator in _OF_TRUTH.items()},
}
