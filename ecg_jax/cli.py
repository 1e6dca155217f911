"""What the entry points share: flags that teach, errors in one line, configurations found by name."""

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from absl import app, flags, logging
from ml_collections import config_flags
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ecg_jax import config as config_lib
from ecg_jax.config.reference import create_help
from ecg_jax.errors import InputError
from ecg_jax.printable import make_printable
from ecg_jax.runtime import second_signal, startup

DEFAULT_CONFIG = "configs/finetune.py"
_TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the traceback of an error that is usually one line.")


def run(main: Callable[[Sequence[str]], int | None], *, computes: bool = True) -> None:
    """Runs an entry point: exit status 0, 1 on bad input, or what `main` returns.

    Args:
        main: Of the entry point. JAX is imported in it, not before.
        computes: Whether a network is run, for which the process is prepared.
    """

    def guarded(argv: Sequence[str]) -> int:
        if not flags.FLAGS["verbosity"].present:  # Orbax logs every file it touches, and every error that is raised too
            logging.set_verbosity(logging.FATAL)
        second_signal.watch()
        try:
            if "config" in flags.FLAGS:
                config_lib.check(flags.FLAGS["config"].value)
            if computes:
                startup.configure_allocator()
                startup.keep_programs()
            status = main(argv) or 0
            if status == 130 and not _is_one_of_several():  # stopped by a signal, as after Ctrl-C
                _flush()
                second_signal.leave(status)
            return status
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            _flush()
            second_signal.leave(130)  # an interpreter that takes itself apart beside threads of JAX may crash
        except OSError as error:
            if _TRACEBACK.value:
                return _leave_with(error)
            told = f"{error.filename or 'a file'}: {error.strerror or error}; what was written before stays"
            return _leave(_fail(told))
        except InputError as error:
            if _TRACEBACK.value:
                return _leave_with(error)
            sys.stdout.flush()
            sys.stderr.flush()
            stderr = os.dup(2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a library's threads have nothing to add to the one line
            os.write(stderr, _describe(error).encode())
            os._exit(1)
        except Exception as error:  # noqa: BLE001 - raised again, or told
            return _leave_with(error)

    app.run(guarded, flags_parser=_parse)


def require_files(*paths: str | None) -> None:
    """Raises `InputError` for the first that is named and not there, before libraries are imported to read it."""
    for path in paths:
        if path and not os.path.exists(path):
            raise InputError(f"{path}: no such file")


def _leave(status: int) -> int:
    """Returns a status; of several processes, ends this one: JAX would wait for the others, which wait for this."""
    if _is_one_of_several():
        _flush()
        os._exit(status)
    return status


def _is_one_of_several() -> bool:
    jax = sys.modules.get("jax")
    return bool(jax and jax.distributed.is_initialized())


def _flush() -> None:
    with contextlib.suppress(OSError):  # a pipe that nobody reads
        sys.stdout.flush()
        sys.stderr.flush()


def _leave_with(error: Exception) -> int:
    """Raises an error; of several processes, tells it and ends this one."""
    if _is_one_of_several():
        traceback.print_exception(error)
        _leave(1)
    raise error


def _parse(argv: Sequence[str]) -> list[str]:
    _extend_help({argument.lstrip("-") for argument in argv[1:]})
    try:
        return flags.FLAGS(_complete(list(argv)))
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        sys.exit(_fail(error))


def _extend_help(arguments: set[str]) -> None:
    """Adds the keys of the configuration to what `--help` prints, which begins with the entry point's docstring."""
    if "config" in flags.FLAGS and not arguments.isdisjoint(("help", "helpshort", "helpfull", "?")):
        main = sys.modules["__main__"]
        main.__doc__ = f"{main.__doc__}\n{create_help(full='helpfull' in arguments)}"


def _complete(argv: list[str]) -> list[str]:
    """Fills in the default of `--config` and the place of a configuration that ships; checks the keys that are set."""
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


def _fail(error: object) -> int:
    sys.stderr.write(_describe(error))
    return 1


def _describe(error: object) -> str:
    return f"error: {make_printable(' '.join(str(error).split()))}\n"


class _Console(Console):
    """Lets no text steer the terminal: names of files and leads come from anyone."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for each in super().render(renderable, options):
            yield each if each.control else each._replace(text=make_printable(each.text))


def create_console(file: IO[str] | None = None) -> Console:
    """A console as wide as its terminal, or 120 columns where the output goes to a file; it prints text as it is."""
    create = functools.partial(_Console, file=file, highlight=False, soft_wrap=True, markup=False, emoji=False)
    console = create()
    return console if console.is_terminal else create(width=120)


def find_config(path: str) -> str:
    """Returns the file that `--config` names: as given, or the one of that name that ships with the package.

    Raises:
        InputError: when there is neither, listing those that ship.
    """
    if os.path.isfile(path):
        return path
    here = os.path.dirname(os.path.abspath(__file__))
    folders = (os.path.join(here, "configs"), os.path.join(os.path.dirname(here), "configs"))  # installed, checkout
    shipped = {
        name: os.path.join(folder, name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)
    }
    name = os.path.basename(path)
    if os.path.dirname(path) not in ("", "configs") or name not in shipped:
        known = ", ".join(f"configs/{name}" for name in sorted(shipped) if name.endswith(".py"))
        raise InputError(f"--config={path}: no such file; these ship: {known}")
    return shipped[name]


def refuse_arguments(argv: Sequence[str]) -> None:
    """Raises `InputError` on an argument that is no flag."""
    if len(argv) > 1:
        raise InputError(f"unexpected argument {argv[1]!r}; settings are flags, as --config.seed=3")


def config_name() -> str:
    """Name of the configuration file in use, without folder and suffix."""
    return os.path.splitext(os.path.basename(config_flags.get_config_filename(flags.FLAGS["config"])))[0]
