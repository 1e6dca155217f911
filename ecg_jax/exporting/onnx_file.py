"""A model as ONNX, whose metadata are JSON texts by name; weights in float32, or smaller."""

import json
from typing import IO, Any

import jax
import jax.export
import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.exporting import function, metadata
from ecg_jax.exporting.arrays import Plan
from ecg_jax.inference.model import Model
from ecg_jax.recording import LEADS

WEIGHTS = ("float32", "float16", "int8")
_SMALLEST = 1024  # numbers of an array that is stored smaller


def write(file: IO[bytes], model: Model, plan: Plan, weights: str = "float32") -> None:
    """Writes a model.

    Args:
        file: Open for writing.
        model: See `load_model`.
        plan: Of the arrays that the file will be given.
        weights: How the network's larger arrays are stored, one of `WEIGHTS`; int8 with a factor per output. All of
            them compute in float32.

    Raises:
        InputError: on an operation without an ONNX operator, or where `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise InputError("writing ONNX needs the package onnx: pip install 'ecg_jax[export]'") from error
    from ecg_jax.exporting import onnx_convert

    (batch,) = jax.export.symbolic_shape("B")
    signal = jax.ShapeDtypeStruct((batch, plan.samples, len(LEADS)), np.float32)
    traced = jax.jit(function.create(model, plan)).trace(signal)
    names = (metadata.INPUT, metadata.name_output(model))
    graph = onnx_convert.convert(traced.jaxpr, batch, names)
    if weights != "float32":
        _shrink(graph, model.variables, weights)
    made = onnx.helper.make_model(
        graph,
        producer_name="ecg_jax",
        opset_imports=[onnx.helper.make_opsetid("", onnx_convert.OPSET)],
        ir_version=onnx_convert.IR_VERSION,
    )
    onnx.helper.set_model_props(made, _spell(metadata.describe(model, plan, weights)))
    onnx.checker.check_model(made)
    file.write(made.SerializeToString())


def _spell(described: dict[str, Any]) -> dict[str, str]:
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in described.items()}


def _shrink(graph: Any, variables: Any, weights: str) -> None:
    """Stores the network's arrays smaller, with an operator that restores float32; filters stay as they are."""
    from onnx import TensorProto, helper, numpy_helper

    known = {_sort(leaf) for leaf in jax.tree.leaves(variables) if leaf.size >= _SMALLEST}
    restored, kept = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.size < _SMALLEST or array.dtype != np.float32 or _sort(array) not in known:
            kept.append(tensor)
            continue
        stored = f"{tensor.name}_{weights}"
        if weights == "float16":
            kept.append(numpy_helper.from_array(_round(array), stored))
            restored.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
            continue
        axis = 0 if array.ndim == 3 else array.ndim - 1  # of outputs: of a convolution the first, of a product the last
        others = tuple(i for i in range(array.ndim) if i != axis)
        largest = np.abs(array).max(axis=others, keepdims=True)
        factor = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        kept.append(numpy_helper.from_array(np.round(array / factor).astype(np.int8), stored))
        kept.append(numpy_helper.from_array(factor.reshape(-1), f"{stored}_factor"))
        restored.append(
            helper.make_node("DequantizeLinear", [stored, f"{stored}_factor"], [tensor.name], axis=axis, name=stored)
        )
    nodes = [*restored, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def _round(array: np.ndarray) -> np.ndarray:
    if np.abs(array).max() > np.finfo(np.float16).max:
        raise InputError("the model has weights too large for float16; use --weights=float32")
    return array.astype(np.float16)


def _sort(array: Any) -> bytes:
    """Equal for arrays that differ in the order of their axes alone."""
    return np.sort(np.asarray(array, np.float32), axis=None).tobytes()
