"""What the entry points share: flags that teach, errors in one line, configurations found by name."""

import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from rich.console import Console

from ecg_jax.errors import InputError

_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the traceback of an error that is usually one line.")


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs an entry point: exit status 0, 1 on bad input, or what `main` returns."""

    def guarded(argv: Sequence[str]) -> int:
        if not flags.FLAGS["verbosity"].present:  # Orbax logs every file it touches, and every error that is raised too
            logging.set_verbosity(logging.FATAL)
        try:
            return main(argv) or 0
        except InputError as error:
            if _TRACEBACK.value:
                raise
            _fail(error)
            sys.stdout.flush()
            os._exit(1)  # at once: writers and readers in the background have nothing to add to the one line

    app.run(guarded, flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(list(argv))
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.exit(_fail(error))


def _fail(error: Exception) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return 1


def create_console() -> Console:
    """A console as wide as its terminal, or 120 columns where the output goes to a file."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=120)


def find_config(path: str) -> str:
    """Returns the file that `--config` names: as given, or the one of that name that ships with the package.

    Raises:
        InputError: when neither exists, listing those that ship.
    """
    if os.path.isfile(path):
        return path
    for folder in (
        os.path.join(os.path.dirname(__file__), "configs"),
        os.path.join(os.path.dirname(__file__), "..", "configs"),
    ):
        if os.path.isfile(shipped := os.path.join(folder, os.path.basename(path))):
            return shipped
        if os.path.isdir(folder):
            known = sorted(name for name in os.listdir(folder) if name.endswith(".py") and not name.startswith("_"))
            raise InputError(
                f"--config={path}: no such file; shipped: {', '.join(f'configs/{name}' for name in known)}"
            )
    raise InputError(f"--config={path}: no such file")
