"""A second Ctrl-C (or SIGTERM) ends the process at once.

Python runs its signal handlers between two instructions of the main thread, which may spend minutes inside a
compilation, and an interpreter that shuts down while JAX and Orbax still have threads may crash. So another
thread counts the signals, which the interpreter writes to a pipe as they arrive, and exits without cleaning up.
"""

import os
import signal
import sys
import threading
from typing import NoReturn

_COUNTED = (signal.SIGINT, signal.SIGTERM)


def leave(status: int) -> NoReturn:
    """Ends this process and its children at once."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for child in multiprocessing.active_children():
            child.kill()
    os._exit(status)


def watch() -> None:
    """Counts signals from now on; the second one ends the process with status 130 (SIGINT) or 143 (SIGTERM)."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_count, args=(reading,), name="second signal", daemon=True).start()


def _count(pipe: int) -> None:
    count = 0
    while received := os.read(pipe, 1):
        count += received[0] in _COUNTED
        if count == 2:
            os.write(2, b"Interrupted.\n")
            leave(128 + received[0])
