"""Weights by path: `params/trunk/stem/conv/kernel`. Merging is strict, exceptions are explicit."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from ecg_jax.errors import InputError


def flatten(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested variables to `{path: leaf}`."""
    return traverse_util.flatten_dict(dict(variables), sep="/")


def unflatten(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `flatten`."""
    return traverse_util.unflatten_dict(dict(weights), sep="/")


def matches(path: str, patterns: Iterable[str]) -> bool:
    """True when a shell pattern (`trunk/unit1/*`, `*/norm?`) fits a path without its collection, or its modules."""
    parts = path.split("/")
    if parts[0] in ("params", "batch_stats"):
        parts = parts[1:]
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(fnmatch.fnmatchcase(prefix, pattern) for prefix in prefixes for pattern in patterns)


def merge(
    variables: Mapping[str, Any], weights: Mapping[str, np.ndarray], *, source: str, exclude: Iterable[str] = ()
) -> dict[str, Any]:
    """Replaces a network's variables by stored ones; everything must fit.

    Args:
        variables: The network's own, nested.
        weights: Stored arrays by path.
        source: Where they come from, for messages.
        exclude: Patterns of paths that are left unchanged in `variables` and ignored in
            `weights` (a new head, say).

    Returns:
        Variables like the first, with the stored values in the first's dtypes.

    Raises:
        InputError: listing what is missing, what is left over, and both shapes where they differ.
    """
    exclude = tuple(exclude)
    own = flatten(variables)
    wanted = {path for path in own if not matches(path, exclude)}
    offered = {path for path in weights if not matches(path, exclude)}
    shapes = {path: (tuple(np.shape(own[path])), tuple(np.shape(weights[path]))) for path in wanted & offered}
    problems = [
        _list("missing there", sorted(wanted - offered)),
        _list("left over there", sorted(offered - wanted)),
        _list("of another shape", [f"{path} {a} here, {b} there" for path, (a, b) in sorted(shapes.items()) if a != b]),
    ]
    if any(problems):
        raise InputError(
            f"{source}: its weights do not fit the network; {'; '.join(filter(None, problems))}. "
            "Name what should start afresh in config.init.exclude"
        )
    merged = {path: np.asarray(weights[path], leaf.dtype) if path in wanted else leaf for path, leaf in own.items()}
    return {key: {} for key in variables} | unflatten(merged)  # a network without BatchNorm has empty statistics


def _list(title: str, items: list[str]) -> str:
    return f"{title} ({len(items)}): {', '.join(items)}" if items else ""
