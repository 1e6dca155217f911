"""ONNX operators of JAX's primitives: those that this package's networks consist of."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from ecg_jax.errors import InputError
from ecg_jax.exporting import onnx_products
from ecg_jax.exporting.onnx_graph import Graph, Value

ELEMENTWISE = {
    "abs": "Abs", "add": "Add", "add_any": "Add", "and": "And", "ceil": "Ceil", "copy": "Identity", "cos": "Cos",
    "div": "Div", "eq": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual",
    "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less", "max": "Max",
    "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "pow": "Pow", "sign": "Sign", "sin": "Sin",
    "sqrt": "Sqrt", "stop_gradient": "Identity", "sub": "Sub", "tanh": "Tanh", "xor": "Xor",
}  # fmt: skip
_REDUCTIONS = {"reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_sum": "ReduceSum"}
_OF_TRUTH = {"reduce_and": "ReduceMin", "reduce_or": "ReduceMax"}
_Convert = Callable[[Graph, dict[str, Any], list[Value], Any], str]


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
    shape = (*aval.shape[:axis], 1, *aval.shape[axis + 1 :])
    return graph.add("Concat", [graph.reshape(each, shape) for each in inputs], axis=axis)


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


SEVERAL = frozenset(
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
OTHERS: dict[str, _Convert] = {
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
    "slice": onnx_products.cut,
    "rev": onnx_products.reverse,
    "pad": onnx_products.pad,
    "dot_general": onnx_products.multiply,
    "conv_general_dilated": onnx_products.convolve,
    "gather": onnx_products.gather,
    "reduce_window_max": onnx_products.pool_largest,
    "reduce_window_sum": onnx_products.pool_sum,
    "erfc": _erfc,
    **{name: _reduce(operator) for name, operator in _REDUCTIONS.items()},
    **{name: _reduce_truth(operator) for name, operator in _OF_TRUTH.items()},
}
