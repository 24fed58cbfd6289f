"""Tell the cell that the unit serves: one line into the pipe that it was given.

The descriptor is taken out of the environment at once and closed in every child, so that no task can speak for the
unit.
"""

from __future__ import annotations

import gc
import os

VARIABLE = "AERODROME_NOTIFY_FD"


class Notifier:
    """The pipe to the cell; does nothing when there is none.

    Until the unit is ready the garbage collector rests: a start builds a million objects that all live on, and looking
    through them again and again took a fifth to a third of it.
    """

    def __init__(self) -> None:
        gc.disable()
        os.register_at_fork(after_in_child=gc.enable)
        text = os.environ.pop(VARIABLE, None)
        self._descriptor = int(text) if text else None
        if self._descriptor is not None:
            os.set_inheritable(self._descriptor, False)  # noqa: FBT003 - takes no keyword
            os.register_at_fork(after_in_child=self._close)

    def ready(self) -> None:
        """Say so once; later calls do nothing."""
        if self._descriptor is not None:
            os.write(self._descriptor, b"READY=1\n")
        self._close()
        if not gc.isenabled():
            gc.freeze()
            gc.enable()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
