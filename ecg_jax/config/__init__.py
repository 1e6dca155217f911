"""Configurations: every key with its default, checks, and comparisons.

A file under `configs/` starts from `create_default()` and changes what it needs. Each section is the keyword
arguments of one function, which documents them; `keys.KEYS` documents each key in a line.
"""

from ecg_jax.config.checks import check, check_key, check_values, from_dict, spell
from ecg_jax.config.keys import KEYS, MAY_CHANGE, create_default
from ecg_jax.config.values import (
    Changes,
    compare,
    differences,
    fingerprint,
    flatten,
    make_absolute,
    make_source_absolute,
    override,
    to_dict,
)

__all__ = [
    "KEYS",
    "MAY_CHANGE",
    "Changes",
    "check",
    "check_key",
    "check_values",
    "compare",
    "create_default",
    "differences",
    "fingerprint",
    "flatten",
    "from_dict",
    "make_absolute",
    "make_source_absolute",
    "override",
    "spell",
    "to_dict",
]
