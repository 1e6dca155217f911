"""A configuration as dotted keys and as JSON."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict


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
