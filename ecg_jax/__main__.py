"""The entry points under one name: `ecg-jax VERB`, or `python -m ecg_jax VERB`."""

import ast
import os
import runpy
import sys

from ecg_jax.errors import suggest

VERBS = {  # and their modules
    "train": "main",
    "prepare": "prepare",
    "predict": "predict",
    "explain": "explain",
    "embed": "embed",
    "export": "export",
    "evaluate": "evaluate",
    "sweep": "sweep",
    "build_tfds": "build_tfds",
    "models": "models",
}
_ALIASES = {"main": "main"}


def main() -> None:
    """Runs the entry point that the first argument names."""
    verb, *rest = sys.argv[1:] or ["--help"]
    if verb in ("--help", "-h", "help"):
        print(_create_help())
        return
    module = (VERBS | _ALIASES).get(verb)
    if module is None:
        sys.exit(f"error: {verb!r} is no verb of ecg-jax; known: {', '.join(VERBS)}{suggest(verb, VERBS)}")
    sys.argv = [sys.argv[0], *rest]
    runpy.run_module(f"ecg_jax.{module}", run_name="__main__", alter_sys=True)


def _create_help() -> str:
    lines = [f"  {verb:<12}{_read_summary(module)}" for verb, module in VERBS.items()]
    return "\n".join(["usage: ecg-jax VERB [flags]; ecg-jax VERB --help explains the flags", "", *lines])


def _read_summary(module: str) -> str:
    """The first line of a module's docstring, without importing it."""
    path = os.path.join(os.path.dirname(__file__), module)
    with open(os.path.join(path, "__main__.py") if os.path.isdir(path) else f"{path}.py") as file:
        return (ast.get_docstring(ast.parse(file.read())) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
