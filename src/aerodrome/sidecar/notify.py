"""Telling the cell that this unit serves, over the pipe it passed us.

Called by `__main__`. The variable is removed and the descriptor closed to children at once, as the cell asks.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import MutableMapping

VARIABLE = "AERODROME_NOTIFY_FD"


class Notifier:
    """The pipe to the cell; silent where there is none (when a person starts the process by hand)."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        number = environment.pop(VARIABLE, "")
        self._descriptor = int(number) if number.isdecimal() else None
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.set_inheritable(self._descriptor, False)  # noqa: FBT003 - the standard library's own signature

    def ready(self, status: str) -> None:
        """Say that we serve, with a sentence on one line."""
        if self._descriptor is None:
            return
        # A cell that has gone away is no reason to stop: the next one adopts us.
        with contextlib.suppress(OSError):
            os.write(self._descriptor, f"STATUS={' '.join(status.split())}\nREADY=1\n".encode())
