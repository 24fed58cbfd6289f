"""The one way to wait in a test: for a condition, with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

LIMIT = 240.0
"""Seconds that any condition may take on a machine that does other work too."""

LONGEST_PAUSE = 1.0
"""Seconds between two looks at what goes on for long."""


def wait_for(
    what: str, condition: Callable[[], Any], *, limit: float = LIMIT, longest_pause: float = LONGEST_PAUSE
) -> Any:
    """What `condition` returns as soon as it is true; the test fails when it never is.

    It is asked often at first and then seldom, for the answer of a whole Aerodrome costs a part of the processor that
    the awaited needs. What is true for a moment only needs a shorter `longest_pause`.
    """
    begun = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begun
        if waited > limit:
            pytest.fail(f"waited {limit:.0f} s in vain: {what}")
        time.sleep(min(longest_pause, 0.01 + waited / 12))
    return found
