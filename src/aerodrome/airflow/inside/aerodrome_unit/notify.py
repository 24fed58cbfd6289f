"""Tell the cell that the unit serves, and from then on that it lives, by lines into the pipe that the cell gave it.

The descriptor is taken out of the environment at once and closed in every child, so that no task can speak for the
unit.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import threading
import time

VARIABLE = "AERODROME_NOTIFY_FD"

BEAT = 2.0
"""Seconds between two signs of life; the cell kills a unit that gave none for thirty, or while it computes for six."""

PATIENCE = 120.0
"""Seconds that a main loop may take for one round: four times what Airflow itself gives a job before it calls it dead
(`scheduler_health_check_threshold`). A loop that waits for the database may wait as long.
"""

WAITING_SHARE = 0.1
"""The share of a processor that a main loop may take while it waits, for how long it will."""

LONGEST_TURN = 6.0
"""Seconds of the processor that one round may take of a main loop whose rounds are short, however long it waits."""


def stood(before: float, moved_at: float | None, began: float, ended: float) -> float:
    """Seconds for which the main loop has not come round, after a look that lasted from `began` to `ended`.

    Time in which the whole process stood still does not count against the loop, so a look adds little, however long it
    was.
    """
    if moved_at is None or moved_at >= began:
        return 0.0
    return before + min(ended - began, 2 * BEAT)


def computed(before: float, moved_at: float | None, began: float, ended: float, used: float) -> float:
    """Seconds that the main thread has computed in this round, after a look in which it `used` so many.

    A loop that waits uses a little too, and may wait for an hour: a worker that ends waits for its last task.
    """
    if moved_at is None or moved_at >= began:
        return 0.0
    return max(0.0, before + used - WAITING_SHARE * (ended - began))


def complaint(standing: float, computing: float, *, waits: bool) -> str:
    """What is wrong with a main loop that has not come round for so long; empty = nothing.

    `waits`: its rounds are short, but it may wait for the broker as long as that is away.
    """
    if waits:
        return f"its main loop has computed for {computing:.0f} s" if computing > LONGEST_TURN else ""
    return f"its main loop has not come round for {standing:.0f} s" if standing > PATIENCE else ""


class Notifier:
    """The pipe to the cell; does nothing when there is none.

    Until the unit is ready the garbage collector rests. A start builds a million objects that all live on, and looking
    through them again and again took a fifth to a third of the start.
    """

    def __init__(self) -> None:
        gc.disable()
        os.register_at_fork(after_in_child=gc.enable)
        self._announced = False
        self._held: int | None = None
        self._moved_at: float | None = None
        self._waits = False
        text = os.environ.pop(VARIABLE, None)
        self._descriptor = int(text) if text else None
        if self._descriptor is not None:
            os.set_inheritable(self._descriptor, False)  # noqa: FBT003 - takes no keyword
            os.register_at_fork(after_in_child=self._close)
            # A thread, because it needs the interpreter: a process that holds it for good, or is stopped, cannot beat.
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def ready(self) -> None:
        """Say so once; later calls do nothing."""
        if self._announced:
            return
        self._announced = True
        self._say("READY=1")
        if not gc.isenabled():
            gc.freeze()
            gc.enable()

    def moves(self, *, waits: bool = False) -> None:
        """Note that the main loop has come round; a unit that has called this once must go on calling it.

        `waits` as for `complaint`.
        """
        self._waits = waits
        self._moved_at = time.monotonic()

    def holds(self, tasks: int | None) -> None:
        """Say how many tasks a worker holds that takes no more; None = it takes tasks."""
        if tasks is not None or self._held is not None:  # repeated, because another cell may hear it now
            self._held = tasks
            self._say("HOLDS=" + ("" if tasks is None else str(tasks)))

    def _watch(self) -> None:
        standing = computing = 0.0
        clock = time.pthread_getcpuclockid(threading.main_thread().ident or 0)
        while self._descriptor is not None:
            began, used = time.monotonic(), time.clock_gettime(clock)
            wrong = complaint(standing, computing, waits=self._waits)
            if wrong:
                with contextlib.suppress(Exception):
                    faulthandler.dump_traceback()  # where it stands, for whoever reads the log
                self._say(f"STATUS={wrong}\nWATCHDOG=trigger")
            else:
                self._say("WATCHDOG=1")
            time.sleep(BEAT)
            ended, used = time.monotonic(), time.clock_gettime(clock) - used
            standing = stood(standing, self._moved_at, began, ended)
            computing = computed(computing, self._moved_at, began, ended, used)

    def _say(self, lines: str) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # nobody has read for hours: a new cell will begin with the next line
                os.write(self._descriptor, lines.encode() + b"\n")

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
