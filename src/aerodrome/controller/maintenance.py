"""When an environment is maintained, and what maintenance changes. Pure.

Once a week, in the two hours that begin at WeeklyMaintenanceWindowStart (UTC), an environment gets the patch release of
its minor version and the lock that Aerodrome installs today. If a window is missed, because the machine slept, the next
one does the maintenance. If maintenance fails, it is not tried again in the same window, whatever is asked for then.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from aerodrome.model.change import Change, ChangeKind, Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.release import Patch

WINDOW = timedelta(hours=2)
"""How long after the start of a window maintenance may begin; AWS documents none."""

WEEK = timedelta(days=7)

OPT_OUT = "aerodrome:maintenance"
"""The tag whose value `off` keeps an environment from being maintained."""

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def window(start: str, now: datetime) -> tuple[datetime, datetime]:
    """The window that is open now, or else the next one: its beginning and its end. `start` is `MON:03:30`, in UTC."""
    day, hour, minute = start.split(":")
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begins = midnight + timedelta(days=_DAYS.index(day) - now.weekday(), hours=int(hour), minutes=int(minute))
    # The windows of last week (which may reach into this week), of this week, and of the next.
    for each in (begins - WEEK, begins, begins + WEEK):
        if now < each + WINDOW:
            return each, each + WINDOW
    raise AssertionError("a week has a window")


def due(environment: Environment, patch: Patch | None, now: datetime) -> Change | None:
    """The maintenance that begins now; None = none is due."""
    if patch is None or environment.tags.get(OPT_OUT, "").strip().lower() == "off":
        return None
    begins, _ = window(environment.spec.weekly_maintenance_window_start, now)
    tried = environment.last_update.maintained_at
    if now < begins or (tried is not None and tried >= begins):
        return None
    running = environment.deployed
    moves = running is not None and running.version != patch.version
    # AirflowVersion stays as it was asked for if another version stands in for it (1.10.15 for 1.10.12).
    spec = replace(environment.spec, airflow_version=patch.version) if moves else environment.spec
    return Change(kind=ChangeKind.MAINTENANCE, spec=spec, revision=0, strategy=Strategy.GRACEFUL, requested_at=now)
