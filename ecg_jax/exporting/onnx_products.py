"""ONNX operators of JAX's primitives that take parts of arrays, and sums over products: slices, products, pooling."""

import string
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.exporting.onnx_graph import Graph, Value


def _part(graph: Graph, name: str, begin: list[int], end: list[int], axes: list[int], steps: list[int]) -> str:
    return graph.add("Slice", [name, *(graph.keep(each, np.int64) for each in (begin, end, axes, steps))])


def cut(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """Every so manyth value between two bounds."""
    steps = params["strides"] or (1,) * len(aval.shape)
    bounds = zip(params["start_indices"], params["limit_indices"], steps, inputs[0].shape, strict=True)
    kept = [(axis, b, e, s) for axis, (b, e, s, size) in enumerate(bounds) if (b, s) != (0, 1) or e != size]
    if not kept:
        return graph.fill(inputs[0])
    axes, begin, end, by = (list(map(int, column)) for column in zip(*kept, strict=True))
    return _part(graph, graph.fill(inputs[0]), begin, end, axes, by)


def reverse(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """Some axes backward."""
    axes = list(params["dimensions"])
    last = np.iinfo(np.int64).min
    return _part(graph, graph.fill(inputs[0]), [-1] * len(axes), [last] * len(axes), axes, [-1] * len(axes))


def pad(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """Adds a constant at the ends."""
    below, above, between = zip(*params["padding_config"], strict=True)
    if any(between) or min(below + above) < 0:
        raise InputError("the model pads in a way that cannot be written as ONNX; --format=stablehlo can")
    pads = graph.keep([*below, *above], np.int64)
    return graph.add("Pad", [graph.fill(inputs[0]), pads, graph.name(inputs[1])], mode="constant")


def multiply(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """A product of matrices, or a sum over products."""
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


def convolve(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """A convolution without dilated inputs."""
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


def gather(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """`jnp.take` along one axis with places that are there, or a slice."""
    numbers, (operand, places) = params["dimension_numbers"], inputs
    if places.constant is not None and len(places.shape) == 1 and not numbers.collapsed_slice_dims:
        axes, begin = list(numbers.start_index_map), np.broadcast_to(places.constant, places.shape).tolist()
        end = [first + params["slice_sizes"][axis] for axis, first in zip(axes, begin, strict=True)]
        return _part(graph, graph.fill(operand), begin, end, axes, [1] * len(axes))
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


def pool_largest(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """The largest of windows of time."""
    turned, how = _pool(graph, params, inputs)
    return graph.add("Transpose", [graph.add("MaxPool", [turned], **how)], perm=[0, 2, 1])


def pool_sum(graph: Graph, params: dict[str, Any], inputs: list[Value], aval: Any) -> str:
    """The sum of windows of time."""
    turned, how = _pool(graph, params, inputs)
    mean = graph.add("AveragePool", [turned], count_include_pad=1, **how)
    total = graph.add("Mul", [mean, graph.keep(how["kernel_shape"][0], inputs[0].dtype)])
    return graph.add("Transpose", [total], perm=[0, 2, 1])
