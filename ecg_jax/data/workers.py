"""Processes that read recordings. They are forked from a server that has imported the readers, and not JAX."""

import concurrent.futures
import contextlib
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from ecg_jax.allocator import keep_freed_memory

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # a core has its worker already


def count_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Unavailable(Exception):
    """This process may start no other, or workers cannot open what they are given: do without them."""


class Pool(concurrent.futures.ProcessPoolExecutor):
    """Worker processes, which end with this one and leave Ctrl-C to it.

    A worker that dies breaks the pool: results raise `concurrent.futures.process.BrokenProcessPool`.
    """

    def __init__(self, workers: int, open: Callable[..., None], *arguments: Any, niceness: int = 0) -> None:
        """Calls `open(*arguments)` in every worker before its first task.

        Raises:
            Unavailable: where one could not do that, as with functions of the program's own file, or here, as in a
                daemonic process.
        """
        if multiprocessing.current_process().daemon:
            raise Unavailable("a daemonic process may start no other")
        packed = _pack(open, arguments)
        context = _Context()
        context.set_forkserver_preload(["ecg_jax.data.worker_imports"])
        super().__init__(workers, context, initializer=_begin, initargs=(niceness, packed))
        try:
            first, *_ = [self.submit(os.getpid) for _ in range(workers)]  # all start at once
            first.result()
        except BrokenProcessPool as error:
            raise Unavailable(str(error)) from error
        except BaseException:
            self.shutdown(wait=False, cancel_futures=True)
            raise


def _pack(*sent: Any) -> bytes:
    try:
        packed = pickle.dumps(sent)
    except Exception as error:  # an object may raise any
        raise Unavailable(f"cannot be sent to a worker: {error}") from error
    if b"__main__" in packed:
        raise Unavailable("workers do not run the program's own file")
    return packed


_main_lock = threading.Lock()


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hides the program's own file: a worker would run it once more, with all that is not behind `__name__ ==`."""
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


class _Process(ForkServerProcess):
    def start(self) -> None:
        with _without_main():
            super().start()


class _Context(ForkServerContext):
    Process = _Process


def _begin(niceness: int, packed: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # here, as others may have started the server, or start workers of it
    if niceness and hasattr(os, "SCHED_BATCH"):  # on waking, it then takes no core from a thread that computes
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(niceness)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update({name: "1" for name in _ONE_THREAD if name not in os.environ})  # for what is imported below
    try:
        open, arguments = pickle.loads(packed)  # by the process that started this one
        open(*arguments)
    except Exception:
        logging.getLogger("concurrent.futures").disabled = True  # it would print this; the other process goes on
        raise
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # for what the server has imported


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: another one may have begun to write what this one writes."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
