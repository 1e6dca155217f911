"""The entry points' common part: help, errors in one line, configurations found by name."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, NoReturn

from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ecg_jax import config as config_lib
from ecg_jax import files
from ecg_jax.config.reference import create_help
from ecg_jax.errors import InputError, suggest
from ecg_jax.printable import make_printable
from ecg_jax.runtime import second_signal, startup

DEFAULT_CONFIG = "configs/finetune.py"
_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the traceback of an error that is usually one line.")


def run(main: Callable[[Sequence[str]], int | None], *, computes: bool = True) -> None:
    """Runs an entry point: exit status 0, 1 on bad input, or what `main` returns.

    Args:
        main: Of the entry point. It imports JAX, which must not be imported before.
        computes: Whether a network is run, for which the process is prepared.
    """

    def guarded(argv: Sequence[str]) -> int:
        if not flags.FLAGS["verbosity"].present:  # Orbax logs every file that it touches, and errors that it raises
            logging.set_verbosity(logging.FATAL)
        second_signal.watch()
        try:
            if "config" in flags.FLAGS:
                config_lib.check(flags.FLAGS["config"].value)
            if computes:
                startup.configure_allocator()
                startup.keep_programs()
            status = main(argv) or 0
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            _leave(130)
        except Exception as error:
            if isinstance(error, InputError) and not _TRACEBACK.value:
                _leave(1, _describe(error))
            if isinstance(error, OSError) and not _TRACEBACK.value:
                place = f"{error.filename or 'a file'}: {error.strerror or error}"
                _leave(1, _describe(f"{place}; what was written before stays"))
            if not _is_one_of_several():
                raise
            traceback.print_exception(error)
            _leave(1)
        if status == 130 and not _is_one_of_several():  # stopped by a signal
            _leave(status)
        return status

    app.run(guarded, flags_parser=_parse)


def _leave(status: int, message: str = "") -> NoReturn:
    """Ends the process at once: an interpreter that shuts down beside threads of JAX may crash or wait for others."""
    with contextlib.suppress(OSError):  # a closed pipe
        sys.stdout.flush()
        sys.stderr.flush()
    if message:
        stderr = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # threads of libraries have nothing to add to the one line
        os.write(stderr, message.encode())
    second_signal.leave(status)


def require_files(*paths: str | None) -> None:
    """Raises `InputError` for the first missing file, before libraries are imported to read it."""
    for path in paths:
        if path and not os.path.exists(path):
            raise InputError(f"{path}: no such file{files.suggest(path)}")


def require_folder(path: str) -> None:
    """Raises `InputError` where `--output` is no folder that can be written or made."""
    parent = os.path.abspath(path)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    if not path or not os.path.isdir(parent) or not os.access(parent, os.W_OK):
        raise InputError(f"--output={path}: not a folder that can be written")


def refuse_flags(idle: Mapping[str, str]) -> None:
    """Raises `InputError` for a flag that was passed, of those that would do nothing; by each, what it goes with."""
    for name, partner in idle.items():
        if flags.FLAGS[name].present:
            raise InputError(f"--{name} goes with {partner}")


def _is_one_of_several() -> bool:
    jax = sys.modules.get("jax")
    return bool(jax and jax.distributed.is_initialized())


def _parse(argv: Sequence[str]) -> list[str]:
    _extend_help({argument.lstrip("-") for argument in argv[1:]})
    try:
        return flags.FLAGS(_complete(list(argv)))
    except flags.UnrecognizedFlagError as error:
        sys.stderr.write(_describe(f"--{error.flagname}: no such flag{_suggest_flag(error.flagname)}"))
        sys.exit(1)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.stderr.write(_describe(error))
        sys.exit(1)


def _suggest_flag(name: str) -> str:
    """As `errors.suggest`; first among flags with the same first word, as of `--file_rate`."""
    known = [f"--{each}" for each in flags.FLAGS]
    family = [each for each in known if each.startswith(f"--{name.partition('_')[0]}_")]
    return suggest(f"--{name}", family) or suggest(f"--{name}", known)


def _extend_help(arguments: set[str]) -> None:
    """Adds the keys of the configuration to what `--help` prints, which begins with the entry point's docstring."""
    if "config" in flags.FLAGS and not arguments.isdisjoint(("help", "helpshort", "helpfull", "?")):
        main = sys.modules["__main__"]
        main.__doc__ = f"{main.__doc__}\n{create_help(full='helpfull' in arguments)}"


def _complete(argv: list[str]) -> list[str]:
    """Completes `--config` by its default and the folder of those that ship; checks the keys of other flags."""
    if "config" not in flags.FLAGS:
        return argv
    has_config = False
    for i, argument in enumerate(argv):
        name, has_value, value = argument.partition("=")
        name = name.lstrip("-") if argument.startswith("-") else ""
        if name.startswith("config."):
            config_lib.check_key(name)
            if has_value:
                argv[i] = f"{argument.partition('=')[0]}={config_lib.spell(name, value)}"
            elif i + 1 < len(argv):
                argv[i + 1] = config_lib.spell(name, argv[i + 1])
        elif name == "config":
            has_config = True
            if has_value:
                argv[i] = f"--config={find_config(value)}"
            elif i + 1 < len(argv):
                argv[i + 1] = find_config(argv[i + 1])
    return argv if has_config else [argv[0], f"--config={find_config(DEFAULT_CONFIG)}", *argv[1:]]


def _describe(error: object) -> str:
    return f"error: {make_printable(' '.join(str(error).split()))}\n"


class _Console(Console):
    """Prints no control characters: names of files and leads come from anyone."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for each in super().render(renderable, options):
            yield each if each.control else each._replace(text=make_printable(each.text))


def create_console(file: IO[str] | None = None) -> Console:
    """A console as wide as its terminal, or of 120 columns for a file, that interprets no markup."""
    is_terminal = (file or sys.stdout).isatty()  # which Jupyter's FORCE_COLOR does not make of a notebook
    options: dict[str, Any] = {} if is_terminal else {"force_terminal": False, "width": 120}
    return _Console(file=file, highlight=False, soft_wrap=True, markup=False, emoji=False, **options)


def find_config(path: str) -> str:
    """Returns the file that `--config` names: as given, or of a configuration that ships, with its `:ARGUMENT`.

    Raises:
        InputError: when there is neither, listing those that ship.
    """
    path, colon, argument = path.partition(":")
    if os.path.isfile(path):
        return path + colon + argument
    here = os.path.dirname(os.path.abspath(__file__))
    folders = (os.path.join(here, "configs"), os.path.join(os.path.dirname(here), "configs"))  # installed, checkout
    shipped = {
        name: os.path.join(folder, name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)
    }
    name = os.path.basename(path)
    if os.path.dirname(path) not in ("", "configs") or name not in shipped:
        known = ", ".join(f"configs/{name}" for name in sorted(shipped) if name.endswith(".py"))
        raise InputError(f"--config={path}: no such file; these ship: {known}{suggest(path, known.split(', '))}")
    return shipped[name] + colon + argument


def refuse_arguments(argv: Sequence[str]) -> None:
    """Raises `InputError` on an argument that is not a flag."""
    if len(argv) > 1:
        meant = argv[1] if "=" in argv[1] else "NAME=VALUE"
        raise InputError(f"unexpected argument {argv[1]!r}; settings are flags, as --{meant}; --help lists them")


def config_name() -> str:
    """Name of the configuration file in use, without folder and suffix."""
    return os.path.splitext(os.path.basename(config_flags.get_config_filename(flags.FLAGS["config"])))[0]
