"""SIGTERM and Ctrl-C become a request that the training loop answers between two steps."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils


class StopRequest:
    """What the machine asks of the run.

    Attributes:
        reason: Name of the signal that came; None while none has.
    """

    reason: str | None = None

    def agree(self, is_meeting: bool) -> bool:
        """Whether to stop now. Several processes decide together, where all of them meet.

        Args:
            is_meeting: True at steps where every process asks.
        """
        if jax.process_count() == 1:
            return self.reason is not None
        if not is_meeting:
            return False
        return bool(multihost_utils.process_allgather(np.int32(self.reason is not None)).max())


@contextmanager
def catch_signals() -> Iterator[StopRequest]:
    """Turns SIGTERM and SIGINT into a `StopRequest`; a second one acts at once."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        print(f"{request.reason}: stopping once this step is done and saved; again to stop at once", file=sys.stderr)
        restore()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
