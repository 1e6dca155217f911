"""Processes that read recordings. They are forked from a server that has imported the readers, and not JAX."""

import concurrent.futures
import multiprocessing
import multiprocessing.context
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_IMPORTED = ("ecg_jax.data.store.conversion", "ecg_jax.data.datasets", "ecg_jax.data.loading")
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # a core has its worker already


def count_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(concurrent.futures.ProcessPoolExecutor):
    """Worker processes, which end with this one and leave Ctrl-C to it.

    A worker that dies breaks the pool: results raise `concurrent.futures.process.BrokenProcessPool`.
    """

    def __init__(self, workers: int, open: Callable[..., None], *arguments: Any, niceness: int = 0) -> None:
        """Calls `open(*arguments)` in every worker before its first task; both must be picklable."""
        super().__init__(workers, _start_server(), initializer=_begin, initargs=(niceness, open, arguments))

    def submit(self, *call: Any, **arguments: Any) -> concurrent.futures.Future[Any]:
        """As in the base class, which may start a worker here."""
        with _without_main():
            return super().submit(*call, **arguments)


def _start_server() -> multiprocessing.context.ForkServerContext:
    """Starts the process that workers are forked from; it ignores Ctrl-C, which this process handles."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_IMPORTED])
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    unset = [name for name in _ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        for name in unset:
            del os.environ[name]
        if in_main_thread:
            signal.signal(signal.SIGINT, before)
    return context


@contextmanager
def _without_main() -> Iterator[None]:
    """Hides the program's own file: a worker would run it once more, with all that is not behind `__name__ ==`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _begin(niceness: int, open: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.nice(niceness)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    open(*arguments)


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: another one may have begun to write what this one writes."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
