"""SIGTERM and Ctrl-C become a request that the training loop answers between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """What the machine asks of the run.

    Attributes:
        reason: Name of the signal that came; None while none has.
    """

    reason: str | None = None


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
        restore()

    for number in previous:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        restore()
