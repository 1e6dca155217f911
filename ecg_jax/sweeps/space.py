"""A search space: the keys of a configuration that vary, and their values.

A space file defines `space()`, which returns one of

- a dict from a dotted key of the configuration to a list of values: a grid, every combination once;
- such a dict in which some keys have an Optuna distribution instead of a list: a search, whose
  lists are choices then;
- a list of dicts from dotted keys to values: exactly these points.
"""

import dataclasses
import functools
import importlib.util
import itertools
import json
import math
import operator
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from ml_collections import ConfigDict
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ecg_jax import config as config_lib
from ecg_jax import files
from ecg_jax.errors import InputError

SEED = "seed"


@dataclasses.dataclass(frozen=True)
class Space:
    """What `space()` returned, checked against a configuration.

    Attributes:
        base: Configuration that every point starts from.
        axes: Dotted key -> values of a grid, choices of a search, or values in the listed points.
        drawn: Dotted key -> distribution; a search if there are any.
        listed: Points that are listed one by one.
        seeds: Those of every point, unless the space varies `seed`.
    """

    base: ConfigDict
    axes: Mapping[str, list[Any]]
    drawn: Mapping[str, BaseDistribution]
    listed: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]

    @property
    def is_search(self) -> bool:
        """Whether points are drawn."""
        return bool(self.drawn)

    @property
    def size(self) -> int:
        """Number of runs of a grid, with repetitions."""
        return len(self.seeds) * (len(self.listed) or math.prod(map(len, self.axes.values())))

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """The keys that vary, without the seed."""
        return tuple(key for key in (*self.axes, *self.drawn) if key != SEED)

    @functools.cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each key; lists are choices."""
        axes = dict(self.axes)
        if not self.is_search and SEED not in axes:
            axes[SEED] = list(self.seeds)
        choices = {key: list(dict.fromkeys(map(encode, values))) for key, values in axes.items()}
        return {key: CategoricalDistribution(values) for key, values in choices.items()} | {
            key: CategoricalDistribution([*map(encode, drawn.choices)])
            if isinstance(drawn, CategoricalDistribution)
            else drawn
            for key, drawn in self.drawn.items()
        }

    @functools.cached_property
    def points(self) -> dict[str, dict[str, Any]]:
        """Every distinct point of a grid, with its seed, by the fingerprint of its configuration."""
        if self.listed:
            chosen: Iterator[dict[str, Any]] = map(dict, self.listed)
        else:
            chosen = (dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values()))
        points: dict[str, dict[str, Any]] = {}
        for overrides, seed in itertools.product(chosen, self.seeds):
            point = {SEED: seed} | overrides
            points.setdefault(self.name(point), point)
        return points

    def list_seeds(self, overrides: Mapping[str, Any]) -> tuple[int, ...]:
        """The seeds that a point is run with: its own, or those of all points."""
        return (overrides[SEED],) if SEED in overrides else self.seeds

    def name(self, overrides: Mapping[str, Any]) -> str:
        """The fingerprint of a point's configuration, which names its run folder."""
        values = json.loads(self._text)  # creating a configuration takes far longer
        for key, value in overrides.items():
            *sections, last = key.split(".")
            functools.reduce(operator.getitem, sections, values)[last] = value
        return config_lib.fingerprint(values)

    @functools.cached_property
    def _text(self) -> str:
        return json.dumps(config_lib.to_dict(self.base))

    def create_config(self, overrides: Mapping[str, Any]) -> ConfigDict:
        """The configuration of a point."""
        return config_lib.from_dict(config_lib.to_dict(config_lib.override(self.base, overrides)))

    def decode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's values as values of the configuration."""
        return {
            key: json.loads(value) if isinstance(config_lib.KEYS[key].default, tuple) else value
            for key, value in params.items()
        }

    def describe(self) -> dict[str, Any]:
        """What identifies a sweep, JSON-ready."""
        return {
            "config": config_lib.to_dict(self.base),
            "space": {
                key: optuna.distributions.distribution_to_json(value) for key, value in self.distributions.items()
            },
            "points": [{key: encode(value) for key, value in point.items()} for point in self.listed],
            "seeds": list(self.seeds),
        }


def read(path: str, base: ConfigDict, *, seeds: int, most: float = math.inf) -> Space:
    """Runs a space file's `space()`, and checks what it returns.

    Args:
        path: The Python file.
        base: A checked configuration.
        seeds: Number of seeds per point, from the configuration's on.
        most: Largest number of runs of a grid.

    Raises:
        InputError: when the file cannot be run, `space()` returns something else, there are too many points, a key
            is unknown, or a value has the wrong type or is out of range.
    """
    found = _to_plain(_run(path))
    listed = tuple(found) if isinstance(found, list) else ()
    values = {} if listed or not isinstance(found, dict) else found
    axes = {key: list(value) for key, value in values.items() if isinstance(value, list)}
    drawn = {key: value for key, value in values.items() if isinstance(value, BaseDistribution)}
    is_whole = len(axes) + len(drawn) == len(values) and all(axes.values())
    if not (listed or values) or not is_whole or not all(isinstance(point, dict) and point for point in listed):
        raise InputError(
            f"--space={path}: space() must return a dict from a dotted key to a list of values (not empty) or an "
            f"Optuna distribution, or a list of dicts from dotted keys to values; it returned {str(found)[:200]}"
        )
    if listed:
        keys = dict.fromkeys(key for point in listed for key in point)
        axes = {key: [point[key] for point in listed if key in point] for key in keys}
    if SEED in drawn:
        raise InputError(f"--space={path}: a seed is not drawn; list the seeds, or leave them to --seeds")
    last = base.seed + (1 if SEED in axes else seeds)
    chosen = Space(base, axes, drawn, listed, tuple(range(base.seed, last)))
    if not drawn and chosen.size > most:
        raise InputError(
            f"--space={path}: {chosen.size:,} runs ({chosen.size // len(chosen.seeds):,} points x {len(chosen.seeds)} "
            "seeds); if you mean it, add --yes, or draw from it: Optuna distributions and --trials"
        )
    _check(path, chosen)
    return chosen


def encode(value: Any) -> Any:
    """A value that Optuna can store: a tuple as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple) else value


def _run(path: str) -> Any:
    if not os.path.isfile(path):
        raise InputError(f"--space={path}: no such file{files.suggest(path)}")
    spec = importlib.util.spec_from_file_location("space", path)
    if spec is None or spec.loader is None:
        raise InputError(f"--space={path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))  # it may import modules beside it
    try:
        spec.loader.exec_module(module)
        return module.space()
    except (Exception, SystemExit) as error:
        raise InputError(f"--space={path}: {type(error).__name__}: {error}; the file must define space()") from error
    finally:
        sys.path.pop(0)


def _to_plain(found: Any) -> Any:
    """Replaces NumPy's numbers and arrays, at any depth, by Python's, which JSON can store."""
    if isinstance(found, np.generic | np.ndarray):
        return found.tolist()
    if isinstance(found, dict):
        return {key: _to_plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(map(_to_plain, found))
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution(_to_plain(list(found.choices)))
    if isinstance(found, IntDistribution | FloatDistribution):
        kind: Any = type(found)
        return kind(_to_plain(found.low), _to_plain(found.high), log=found.log, step=_to_plain(found.step))
    return found


def _check(path: str, space: Space) -> None:
    """Refuses a value that does not fit the configuration before anything runs."""
    values = {**space.axes, **{key: _list_ends(drawn) for key, drawn in space.drawn.items()}}
    if unknown := sorted(set(values) - set(config_lib.KEYS)):
        raise InputError(f"--space={path}: unknown key(s) {', '.join(unknown)}; known: {', '.join(config_lib.KEYS)}")
    tried = {(key, repr(value)): value for key, listed in values.items() for value in listed}
    for (key, _), value in tried.items():
        try:
            config_lib.check(config_lib.override(space.base, {key: value}))
        except InputError as error:
            raise InputError(f"--space={path}: {error}") from error


def _list_ends(drawn: BaseDistribution) -> list[Any]:
    if isinstance(drawn, CategoricalDistribution):
        return list(drawn.choices)
    assert isinstance(drawn, IntDistribution | FloatDistribution)
    return [drawn.low, drawn.high]
