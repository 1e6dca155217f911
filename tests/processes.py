"""Starts the package's programs as `python -m` does, but from a process that has imported the libraries already.

Imports take three seconds of each start, which hundreds of tests would pay again. Here a server (that of
`multiprocessing`) imports them once and forks: the child has its own flags, environment, folder, output, signals and
exit status. What needs an interpreter of its own uses `subprocess`.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

IMPORTED = (  # no entry point: these define flags
    "pytest",
    "ecg_jax.cli",
    "ecg_jax.data.datasets.builders",
    "ecg_jax.inference.evaluated_files",
    "ecg_jax.inference.evaluated_model",
    "ecg_jax.inference.scoring",
    "ecg_jax.inference.writers",
    "ecg_jax.reporting.evaluation_report",
    "ecg_jax.sweeps.worker",
    "ecg_jax.training.kfold",
    "jax.experimental.multihost_utils",
    "matplotlib.pyplot",
    "tensorboardX",
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(IMPORTED))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Has the server keep no threads of OpenBLAS: a fork might wait for them."""
    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OPENBLAS_NUM_THREADS"]
        if before is not None:
            os.environ["OPENBLAS_NUM_THREADS"] = before


def start_server() -> None:
    """Starts the server before a pool of the package does, whose own would have imported less."""
    with _one_thread():
        multiprocessing.forkserver.ensure_running()


class Process:
    """A program that was started; a part of `subprocess.Popen`."""

    def __init__(self, process: multiprocessing.Process, arguments: list[str], output: Path) -> None:
        self._process, self._output = process, output
        self.args, self.pid = arguments, process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout, *self.read())
        return self.returncode

    def read(self) -> tuple[str, str]:
        """What was written so far."""
        return tuple((self._output / name).read_text(errors="replace") for name in ("stdout", "stderr"))

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        return self.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def kill(self) -> None:
        if self.poll() is None:
            self._process.kill()


def start(
    *arguments: object,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Process:
    """Starts `python ARGUMENTS`, which begin with `-m` and a module, `-c` and code, or a script.

    Args:
        arguments: Of the interpreter.
        cwd: The folder to start in.
        env: Its environment. JAX's own variables were read when the server started.
    """
    texts = [*map(str, arguments)]
    output = Path(tempfile.mkdtemp(prefix="process"))
    for name in ("stdout", "stderr"):
        (output / name).touch()
    environ = dict(os.environ if env is None else env)
    process = _context.Process(target=_run, args=(texts, str(cwd or os.getcwd()), environ, str(output)))
    with _one_thread():
        process.start()
    return Process(process, texts, output)


def run(
    *arguments: object,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 500,
) -> subprocess.CompletedProcess:
    """Runs `python ARGUMENTS` to its end; see `start`."""
    process = start(*arguments, cwd=cwd, env=env)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _run(arguments: list[str], cwd: str, environ: dict[str, str], output: str) -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(output, name), os.O_WRONLY | os.O_APPEND), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(cwd)
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        runpy.run_path(arguments[0], run_name="__main__")
