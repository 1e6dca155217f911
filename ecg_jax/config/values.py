"""A configuration as dotted keys and as JSON; how two differ, and which differences leave a run the same."""

import copy
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from ecg_jax.config.keys import DECIDE_RESULT, MAY_CHANGE, SAME_RECORDINGS, create_default
from ecg_jax.pretrained import FILES as SHIPPED


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields `(dotted key, value)` of every leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def override(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A copy with some values replaced, by dotted key. Keys and types are not checked: see `check`."""
    changed = ConfigDict(config.to_dict())
    for key, value in values.items():
        *sections, last = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        with section.ignore_type():
            section[last] = value
    return changed


def to_dict(config: ConfigDict) -> dict[str, Any]:
    """A JSON-ready dict (tuples become lists)."""
    return json.loads(json.dumps(config.to_dict()))


def fingerprint(config: ConfigDict | Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that name a configuration, or one as a dict."""
    values = to_dict(config) if isinstance(config, ConfigDict) else config
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line per key whose value differs between two dicts of `to_dict`."""
    return [*_describe_changes(dict(flatten(before)), dict(flatten(after))).values()]


def _describe_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """By dotted key."""
    return {
        key: f"{key}: {old.get(key, '(none)')} there, {new.get(key, '(none)')} here"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }


@dataclasses.dataclass(frozen=True)
class Changes:
    """Differences between the configuration of a run and the one to continue it with.

    Attributes:
        refused: A line per key that would change what a step does.
        allowed: A line per key of `MAY_CHANGE`, by key.
    """

    refused: tuple[str, ...]
    allowed: Mapping[str, str]

    @property
    def are_of_place(self) -> bool:
        """Whether the files lie elsewhere, whose content is not yet known to be the same."""
        return any(MAY_CHANGE[key] == SAME_RECORDINGS for key in self.allowed)

    @property
    def leave_result(self) -> bool:
        """Whether what a finished run has written is also the result of the other configuration."""
        return not self.refused and not any(MAY_CHANGE[key] in DECIDE_RESULT for key in self.allowed)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    """Compares two dicts of `to_dict`: a key that one lacks has its default, paths start at the current folder."""
    default = dict(flatten(to_dict(create_default())))
    old, new = (default | dict(flatten(make_absolute(values))) for values in (before, after))
    lines = _describe_changes(old, new)
    allowed = {key: line for key, line in lines.items() if key in MAY_CHANGE}
    return Changes(tuple(line for key, line in lines.items() if key not in allowed), allowed)


def make_absolute(values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict of `to_dict` whose paths mean the same from any folder: `data.source`, `*_csv` and `init.weights`."""
    made = copy.deepcopy(dict(values))
    if data := made.get("data"):
        data["source"] = make_source_absolute(data.get("dataset", ""), data.get("source", ""))
        for section in data.values():
            if isinstance(section, dict):
                section |= {key: _make_path_absolute(path) for key, path in section.items() if key.endswith("_csv")}
    if (init := made.get("init")) and init.get("weights") not in SHIPPED:
        init["weights"] = _make_model_absolute(init.get("weights", ""))
    return made


def _make_model_absolute(model: str) -> str:
    """`FILE` or `NAME:FILE`, with an absolute path of the file."""
    name, colon, path = model.partition(":")
    is_named = bool(colon) and name.isidentifier() and len(name) > 1 and "://" not in model
    return f"{name}:{_make_path_absolute(path)}" if is_named else _make_path_absolute(model)


def make_source_absolute(dataset: str, source: str) -> str:
    """`data.source` with absolute paths; each part of a `combined` one."""
    if dataset != "combined":
        return _make_path_absolute(source)
    parts = (part.strip().partition(":") for part in source.split(","))
    return ",".join(f"{name}:{_make_path_absolute(path)}" if path else name for name, _, path in parts)


def _make_path_absolute(path: str) -> str:
    """Leaves an address such as `gs://bucket/folder`, and an empty path, as they are."""
    return os.path.abspath(path) if path and "://" not in path else path
