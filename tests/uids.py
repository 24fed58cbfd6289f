"""Uids for what a test starts: leftovers are found by their uid, and those of another test must be none of ours."""

from __future__ import annotations

import itertools
import os

_blocks = itertools.count()


def block() -> int:
    """The middle of a hundred uids that nothing else on this machine uses, and no other call returns."""
    return 1_000_000 + os.getpid() % 1_000_000 * 1000 + next(_blocks) % 10 * 100 + 50
