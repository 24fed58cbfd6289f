"""Locks of files, which hold across processes; the kernel releases them when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aerodrome import private_files

RHYTHM = 0.05
"""Seconds between two tries; arbitrary, unnoticed by a person."""


@contextmanager
def held(path: Path, waiting: Callable[[], None]) -> Iterator[int]:
    """Hold the file's lock; yields its descriptor, which a program that inherits it holds too.

    `waiting` is called before each further try while another process has it, and ends the wait with what it raises.
    """
    descriptor = opened(path)
    try:
        while not taken(descriptor):
            waiting()
            time.sleep(RHYTHM)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def held_at_once(path: Path) -> Iterator[bool]:
    """Hold the file's lock without waiting; False = another process has it."""
    descriptor = opened(path)
    try:
        yield taken(descriptor)
    finally:
        os.close(descriptor)


def opened(path: Path) -> int:
    """The file's descriptor, for `taken`; the file is made where there is none."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, private_files.MODE)


def taken(descriptor: int) -> bool:
    """Take the lock, if nobody has it but the descriptor itself; whether it is ours now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
