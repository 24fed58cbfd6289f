"""Signals that end a session: once, in order, and not again while everything is being stopped."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a supervisor's request, and a terminal that was closed."""


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Within the block the first of these signals is a KeyboardInterrupt; yields a function that holds off any other.

    Only the main thread may enter.
    """
    before = {number: signal.getsignal(number) for number in NUMBERS}

    def hold_off() -> None:
        for number in NUMBERS:
            signal.signal(number, _patience)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        hold_off()
        raise KeyboardInterrupt

    for number in NUMBERS:
        signal.signal(number, interrupt)
    try:
        yield hold_off
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _patience(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGINT and sys.stderr.isatty():
        sys.stderr.write("\nStopping already: everything is ended in order.\n")
