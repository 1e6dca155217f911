"""A search space: which keys of a configuration vary, and over what."""

import importlib.util
import itertools
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ecg_jax import config as config_lib
from ecg_jax.errors import InputError


def read_space(path: str) -> dict[str, list[Any]]:
    """Runs a space file's `space()`.

    Returns:
        Dotted key of the configuration -> values to try.

    Raises:
        InputError: when the file cannot be run or `space()` returns something else.
    """
    spec = importlib.util.spec_from_file_location("space", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--space={path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        space = module.space()
    except FileNotFoundError as error:
        raise InputError(f"--space={path}: no such file") from error
    except Exception as error:
        raise InputError(f"--space={path}: {type(error).__name__}: {error}; the file must define space()") from error
    if not isinstance(space, dict) or not space or not all(isinstance(v, list) and v for v in space.values()):
        raise InputError(f"--space={path}: space() must return a dict from a dotted key to a list of values")
    return space


def create_grid(base: ConfigDict, space: Mapping[str, list[Any]]) -> list[tuple[dict[str, Any], ConfigDict]]:
    """Every combination of the space's values, put into a copy of the configuration.

    Returns:
        `(overrides, configuration)` pairs, without repetitions.

    Raises:
        InputError: on an unknown key or a value of the wrong type, before anything runs.
    """
    known = dict(config_lib.flatten(base))
    unknown = [key for key in space if key not in known]
    if unknown:
        raise InputError(f"space has unknown key(s) {', '.join(unknown)}; known: {', '.join(known)}")
    points: dict[str, tuple[dict[str, Any], ConfigDict]] = {}
    for values in itertools.product(*space.values()):
        overrides = dict(zip(space, values, strict=True))
        config = config_lib.from_dict(config_lib.to_dict(config_lib.override(base, overrides)))
        points.setdefault(config_lib.fingerprint(config), (overrides, config))
    return list(points.values())
