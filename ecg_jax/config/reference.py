"""The documentation of all keys, for `--help` and as `docs/configuration.md`.

Run as a program it writes the page: `python -m ecg_jax.config.reference docs/configuration.md`.
"""

import itertools
import sys
import textwrap
from collections.abc import Iterator

from ecg_jax.config.key import Key
from ecg_jax.config.keys import KEYS, SECTIONS

_WIDTH = 100
_INTRODUCTION = """\
# Configuration

Every key that a run can have. A file under `configs/` sets some of them, and each is a flag:
`--config.optimizer.learning_rate=3e-4`; items of a tuple are separated by commas, as in
`--config.contract.leads=I,II,V2`. Keys marked with * may change when a run is continued in its folder.

This page is written by `python -m ecg_jax.config.reference docs/configuration.md`.
"""


def create_page() -> str:
    """The reference page, as Markdown."""
    parts = [_INTRODUCTION]
    for section, names in _group():
        parts += [f"## {section or 'A run'}\n", *([f"{SECTIONS[section]}\n"] if section else [])]
        parts += ["| key | default | values | purpose |", "|---|---|---|---|"]
        parts += [_create_row(name, KEYS[name]) for name in names]
        parts.append("")
    return "\n".join(parts)


def _create_row(name: str, key: Key) -> str:
    mark = "\\*" if key.may_change else ""
    return f"| `{name}`{mark} | {_show_default(key)} | {_describe_values(key)} | {key.doc} |"


def create_help(*, full: bool) -> str:
    """The keys for a terminal.

    Args:
        full: Whether each is explained, or only named.
    """
    parts = ["", "Keys of the configuration, each of which is a flag with `config.` before it:", ""]
    for section, names in _group():
        parts += [f"{section}: {SECTIONS[section]}"] if section else []
        if full:
            for name in names:
                values = f"{_show_default(KEYS[name])}; {_describe_values(KEYS[name])}".replace("`", "")
                parts += _wrap(f"{name} ({values}): {KEYS[name].doc}", "    ")
        else:
            parts += _wrap(", ".join(names), "    ")
    parts += [] if full else ["", "Explained by --helpfull and in docs/configuration.md."]
    return "\n".join(parts) + "\n"


def _group() -> Iterator[tuple[str, list[str]]]:
    """Sections, with the names of their keys; the first has no name."""
    for section, names in itertools.groupby(KEYS, lambda name: name.partition(".")[0] if "." in name else ""):
        yield section, list(names)


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=2 * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _show_default(key: Key) -> str:
    if isinstance(key.default, tuple):
        return f"`{','.join(map(str, key.default))}`" if key.default else "none"
    return (
        "empty"
        if key.default == ""
        else f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"
    )


def _describe_values(key: Key) -> str:
    if key.choices:
        return ", ".join(f"`{choice}`" for choice in key.choices) + (f" {key.unit}" if key.unit else "")
    if isinstance(key.default, tuple):
        kind = "texts" if key.items is str else "whole numbers" if key.items is int else "numbers"
    else:
        kind = {str: "text", bool: "true or false", int: "whole number", float: "number"}[type(key.default)]
    return ", ".join(filter(None, [kind, str(key.range), key.unit]))


if __name__ == "__main__":
    with open(sys.argv[1], "w") as page:
        page.write(create_page())
