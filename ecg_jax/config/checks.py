"""Checks of configurations: unknown keys, and values that a key does not take."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ecg_jax.config.keys import KEYS, create_default
from ecg_jax.config.values import flatten, override
from ecg_jax.contract import InputContract
from ecg_jax.errors import InputError, suggest
from ecg_jax.evaluation import thresholds
from ecg_jax.kinds import FINDING, IN_UNITS, LOSSES, SCORES

_REMOVED = ("pretrain",)  # sections of earlier versions


def check(config: ConfigDict) -> ConfigDict:
    """Compares a configuration with the table of keys.

    Returns:
        The configuration.

    Raises:
        InputError: on an unknown key (naming the known ones), a missing one, a wrong type, an unknown choice or
            a number out of range.
    """
    values = dict(flatten(config))
    for key, value in values.items():
        if key not in KEYS:
            check_key(f"config.{key}")
            inside = {name.removeprefix(f"{key}.").partition(".")[0] for name in KEYS if name.startswith(f"{key}.")}
            raise InputError(f"config.{key} is {value!r}; expected a section with {', '.join(sorted(inside))}")
    if missing := [key for key in KEYS if key not in values]:
        raise InputError(f"config.{missing[0]} is missing; start from ecg_jax.config.create_default()")
    for key, value in values.items():
        KEYS[key].check(f"config.{key}", value)
    InputContract(leads=tuple(config.contract.leads))
    thresholds.parse_rule(config.evaluation.threshold_rule)
    _check_kind(config)
    return config


def _check_kind(config: ConfigDict) -> None:
    """Refuses what does not go with the kind of labels."""
    kind = config.data.label_kind
    given = f"config.data.label_kind is {kind!r}"
    for name, known in (("loss.name", ("auto", *LOSSES[kind])), ("checkpoint.monitor", SCORES[kind])):
        section, key = name.split(".")
        if config[section][key] not in known:
            raise InputError(
                f"{given}, but config.{name} {config[section][key]!r}; set it to one of {', '.join(known)}"
            )
    if kind == FINDING:
        return
    monitor, labels = config.checkpoint.monitor, config.data.labels
    if "," in labels.strip(", ") and monitor in IN_UNITS:
        raise InputError(
            f"config.checkpoint.monitor is {monitor!r}, but {labels} have several units; set it to loss, r2 or pearson"
        )
    of_findings = {key: config.loss[key] for key in ("positive_weight", "focal_gamma", "label_smoothing")}
    changed = {f"loss.{key}": value for key, value in of_findings.items() if value != KEYS[f"loss.{key}"].default}
    if config.data.sampling == "balanced":
        changed["data.sampling"] = "balanced"
    for name, value in changed.items():
        remedy = KEYS[name].default
        raise InputError(f"{given}, but config.{name} {value!r}, which is for findings; set it to {remedy!r}")


def check_values(section: str, **values: object) -> None:
    """Compares values with the keys of a section, such as `loss`, for functions that are called without `check`.

    Raises:
        InputError: on a wrong type, an unknown choice or a number out of range.
    """
    for name, value in values.items():
        KEYS[f"{section}.{name}"].check(f"config.{section}.{name}", value)


def check_key(dotted: str) -> None:
    """Refuses a key such as `config.optimizer.learning_rte` that no configuration has, naming the known ones."""
    name, *keys = dotted.split(".")
    section: Any = create_default()
    for key in keys:
        if not isinstance(section, ConfigDict):
            raise InputError(f"{name} is a value; it has no key {key}")
        if key not in section:
            raise InputError(f"{name}.{key} is unknown; {name} has: {', '.join(section)}{suggest(key, section)}")
        name, section = f"{name}.{key}", section[key]


def spell(dotted: str, text: str) -> str:
    """A flag's value in the form that `config_flags` reads: a tuple given as `I,II,V2` becomes `('I', 'II', 'V2')`.

    Args:
        dotted: The key, with the configuration's name in front; a known one.
        text: The value as it was given.
    """
    key = KEYS.get(dotted.partition(".")[2])
    if key is None or not isinstance(key.default, tuple) or text.strip()[:1] in ("(", "["):
        return text
    items = tuple(item.strip().strip("'\"") for item in text.split(",") if item.strip())
    return str(items) if not items or key.items is str else text


def from_dict(values: Mapping[str, Any]) -> ConfigDict:
    """The reverse of `to_dict`; new keys take their defaults, and removed sections are left out.

    Raises:
        InputError: see `check`.
    """
    values = {key: value for key, value in values.items() if key not in _REMOVED}
    stored = {key: tuple(value) if isinstance(value, list) else value for key, value in flatten(values)}
    if unknown := sorted(set(stored) - set(KEYS)):
        check_key(f"config.{unknown[0]}")
    return check(override(create_default(), stored))
