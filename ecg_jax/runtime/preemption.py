"""SIGTERM and Ctrl-C become a request that the training loop answers between two steps.

With several processes, JAX catches SIGTERM: it informs all of them within about a second, and chooses
a step that none has reached, at which they stop together. No step waits for this.
"""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

_asked = itertools.count(1)  # over all trainings of a process (folds): JAX needs a number that never decreases


class StopRequest:
    """Whether the run should stop.

    Attributes:
        reason: Name of the signal that was received; None before.
    """

    reason: str | None = None

    def agree(self, is_meeting: bool) -> bool:
        """Whether to stop now; to be called once after every step. Several processes decide together.

        Args:
            is_meeting: True at steps where every process can wait for the others, which
                happens only where JAX's preemption service is off.
        """
        if jax.process_count() == 1:
            return self.reason is not None
        if _is_spread():
            return multihost_utils.reached_preemption_sync_point(next(_asked))
        if not is_meeting:
            return False
        return bool(multihost_utils.process_allgather(np.int32(self.reason is not None)).max())


def _is_spread() -> bool:
    """Whether JAX catches SIGTERM and informs the other processes."""
    return jax.process_count() > 1 and jax.config.values["jax_enable_preemption_service"]


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Turns SIGTERM and SIGINT into a `StopRequest`; a second one acts at once.

    Where JAX catches SIGTERM, SIGINT is passed on as one, and only a second SIGINT acts at once.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    is_spread = _is_spread()
    caught = (signal.SIGINT,) if is_spread else (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.getsignal(number) for number in caught}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        print(f"{request.reason}: stopping once this step is done and saved; again to stop at once", file=sys.stderr)
        restore()
        if is_spread:
            os.kill(os.getpid(), signal.SIGTERM)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
