"""Telling the cell that this unit serves, and from then on that it lives, over the pipe that the cell gave us.

`process` calls it. The variable is removed and the descriptor is closed to children at once, as the cell demands.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, MutableMapping

VARIABLE = "AERODROME_NOTIFY_FD"

BEAT = 2.0
"""Seconds between two signs of life; the cell kills a unit that gave none for thirty, or while it computes for six."""


class CellPipe:
    """The pipe to the cell; silent where there is none (when a person starts the process by hand)."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        number = environment.pop(VARIABLE, "")
        self._descriptor = int(number) if number.isdecimal() else None
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.set_inheritable(self._descriptor, False)  # noqa: FBT003 - the standard library's own signature

    def ready(self, status: str) -> None:
        """Say that we serve, with a sentence on one line."""
        self._say(f"STATUS={' '.join(status.split())}\nREADY=1\n")

    def watch(self, is_sound: Callable[[], bool]) -> None:
        """Show from now on that we live, as long as `is_sound()`; a thread does it, for a round may take minutes."""

        def beat() -> None:
            while is_sound():
                self._say("WATCHDOG=1\n")
                time.sleep(BEAT)
            self._say("STATUS=its endpoint for credentials has ended\nWATCHDOG=trigger\n")

        threading.Thread(target=beat, name="watchdog", daemon=True).start()

    def _say(self, lines: str) -> None:
        # A cell that has gone away is no reason to stop: the next one adopts us.
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, lines.encode())
