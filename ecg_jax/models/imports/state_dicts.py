"""The weights of a network in whatever was saved: a state dict alone, inside of a checkpoint, or a whole module."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from ecg_jax.errors import InputError
from ecg_jax.models.imports.torch_pickle import Record
from ecg_jax.printable import make_printable

Weights = dict[str, np.ndarray]

_USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
_OTHER = re.compile(r"optim|(^|_)opt(_|$)|(^|_)ema(_|$)|av(era)?g|swa|teacher|sched|scaler|criterion|loss|history")
_PREFIXES = ("module.", "_orig_mod.")  # of data parallelism and of compilation
_DEEPEST, _MOST, _LONGEST = 4, 1 << 16, 1000  # levels of a checkpoint, parts of a module, characters of a name


def find_weights(saved: Any, path: str) -> Weights:
    """Picks the one state dict: under a usual name, such as `state_dict`, or else the only one there is.

    What is named after an optimizer, an average or the like is never picked.

    Args:
        saved: What `torch_files.read` returned.
        path: Of the file, for messages.

    Returns:
        Arrays by dotted name, in stored order, without `module.` and `_orig_mod.` where all names begin so.

    Raises:
        InputError: listing the candidates, when there is none or more than one.
    """
    try:
        found = _search(saved, "", set(), _DEEPEST)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(found) != 1:
        raise InputError(f"{path}: {_describe(saved, found)}; save the weights alone: torch.save(weights, FILE)")
    return _strip_prefixes(found[0][1])


def _search(value: Any, where: str, seen: set[int], depth: int) -> list[tuple[str, Weights]]:
    if id(value) in seen or not depth:
        return []
    seen.add(id(value))
    if is_module(value):
        weights = collect(value)
        return [(where, weights)] if weights else []
    if isinstance(value, tuple | list):
        return _search_each(enumerate(value), where, seen, depth)
    if not isinstance(value, dict) or {"state", "param_groups"} <= value.keys():  # of an optimizer
        return []
    named = {name: item for name, item in value.items() if isinstance(name, str)}
    if usual := _search_each([(name, named[name]) for name in _USUAL if name in named], where, seen, depth):
        return usual
    tensors = {name: item for name, item in named.items() if isinstance(item, np.ndarray)}
    others = [(name, item) for name, item in named.items() if not _OTHER.search(name.lower())]
    return ([(where, tensors)] if tensors else []) + _search_each(others, where, seen, depth)


def _search_each(items: Iterable[tuple[Any, Any]], where: str, seen: set[int], depth: int) -> list[tuple[str, Weights]]:
    found = []
    for name, item in items:
        if isinstance(item, dict | list | tuple | Record):
            found += _search(item, f"{where}.{_shorten(name)}".strip("."), seen, depth - 1)
    return found


def is_module(value: Any) -> bool:
    """Whether it is what remains of a whole network: `torch.save(model, FILE)`."""
    return isinstance(value, Record) and isinstance(value.state, dict) and "_modules" in value.state


def collect(module: Record) -> Weights:
    """The state dict of a module: its parameters and persistent buffers, then those of its modules.

    Raises:
        InputError: when it has more than 65,536 parts, or names of more than 1,000 characters; it may contain itself.
    """
    weights: Weights = {}
    waiting, count = [("", module)], 0
    while waiting:
        prefix, each = waiting.pop()
        buffers, passing = _get_items(each, "_buffers"), each.state.get("_non_persistent_buffers_set")
        persistent = [item for item in buffers if not (isinstance(passing, set) and item[0] in passing)]
        children = [(f"{prefix}{name}.", child) for name, child in _get_items(each, "_modules") if is_module(child)]
        for name, tensor in (*_get_items(each, "_parameters"), *persistent):
            count += 1
            if isinstance(tensor, np.ndarray):
                weights[f"{prefix}{name}"] = tensor
        waiting += children[::-1]
        count += 1 + len(children)
        if count > _MOST or len(prefix) > _LONGEST:
            raise InputError(f"it holds a module of more than {_MOST} parts or names of over {_LONGEST} characters")
    return weights


def _get_items(module: Record, kind: str) -> list[tuple[str, Any]]:
    items = module.state.get(kind)
    return [item for item in items.items() if isinstance(item[0], str)] if isinstance(items, dict) else []


def _strip_prefixes(weights: Weights) -> Weights:
    for prefix in _PREFIXES * 3:  # no more: a name may be long and consist of them
        if all(name.startswith(prefix) for name in weights):
            weights = {name.removeprefix(prefix): array for name, array in weights.items()}
    return weights


def _describe(saved: Any, found: list[tuple[str, Weights]]) -> str:
    if found:
        listed = [f"{where or 'its top'} ({len(weights)} tensors)" for where, weights in found[:10]]
        return f"it holds {len(found)} sets of weights: {', '.join(listed)}"
    if isinstance(saved, dict):
        return f"it holds no weights under a usual name; it has {', '.join(map(_shorten, [*saved][:20])) or 'nothing'}"
    return f"it holds no weights with names; it is a {type(saved).__name__}"


def _shorten(name: Any) -> str:
    """A key for a message; only text and numbers, as others may be endless to write."""
    text = name[:60] if isinstance(name, str) else str(name) if isinstance(name, int) else type(name).__name__
    return make_printable(text).replace("\n", "?")
