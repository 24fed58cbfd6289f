"""How long the scheduler rests between two loops that found nothing to do.

Airflow always rests `scheduler_idle_sleep_time`. A long rest is slow for short tasks; a short one uses a whole
processor during long ones. Here the rest grows with the time since a task last came or went. So a finished task waits
at most about a quarter of the time that it took, and an environment that only waits costs no more than before. A
notice that somebody has made a run ends the rest, and begins the short rests anew.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from .notices import NoticeListener

SHORTEST = 0.05
"""Seconds; a loop itself takes 10 to 30 milliseconds."""

SHARE = 0.25
"""Share of the time since the last change; the largest delay that this adds to a task, as a share of its run time."""


def rest(quiet: float, longest: float) -> float:
    """Seconds to rest after `quiet` seconds without a change, never above `longest` (the configured idle sleep)."""
    return min(longest, max(SHORTEST, SHARE * quiet))


class _Clock:
    """The module `time` for Airflow's loop, whose only sleep is the rest that a notice ends."""

    def __init__(self, ear: NoticeListener) -> None:
        self.sleep = ear.wait

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def attentive(runner: Any, ear: NoticeListener) -> Any:
    """The job runner class with this pace in place of the constant; it rests until the ear hears something."""
    module: Any = sys.modules[runner.__module__]
    module.time = _Clock(ear)

    class AttentiveSchedulerJobRunner(runner):  # type: ignore[misc]  # the class is Airflow's, known at run time only
        """Airflow's scheduler, resting as long as `rest` says while tasks are with the executor."""

        _longest = 1.0
        _seen: frozenset[Any] = frozenset()
        _changed_at = 0.0

        @property
        def _scheduler_idle_sleep_time(self) -> float:
            held = frozenset(key for executor in self._all_executors() for key in executor.running)
            now = time.monotonic()
            if held != self._seen:
                self._seen, self._changed_at = held, now
            since = max(self._changed_at, ear.heard_at) if held else ear.heard_at
            return rest(now - since, self._longest)

        @_scheduler_idle_sleep_time.setter
        def _scheduler_idle_sleep_time(self, configured: float) -> None:
            self._longest = configured

        def _all_executors(self) -> Any:
            return self.executors if hasattr(self, "executors") else self.job.executors

    return AttentiveSchedulerJobRunner
