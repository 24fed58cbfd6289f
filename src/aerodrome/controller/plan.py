"""The decision: from what is asked for and what is seen, the one next move. Pure.

`loop` observes, calls `plan`, and carries out what it says. Plans are level-triggered: they depend on the present facts
alone, so a plan that was never carried out is simply made again.
"""

from __future__ import annotations

from datetime import datetime

from aerodrome.controller import bringing_up, changing, hibernation, keeping, teardown, undoing
from aerodrome.controller.plans import CALM, Plan, Wait
from aerodrome.controller.scaling import Pace
from aerodrome.model import lifecycle
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Observed
from aerodrome.model.phases import Phase

TEARDOWN = frozenset({Status.DELETING, Status.CREATE_FAILED})
"""Statuses in which everything is ended, by force after a time; a cell's answer is not waited for."""


def plan(environment: Environment, observed: Observed, now: datetime, pace: Pace) -> Plan:
    """The next move for one environment; workers go at that pace."""
    if environment.status not in TEARDOWN:
        silent = bringing_up.silent(environment, observed)
        if silent is not None:
            return silent
    change = environment.change
    if change is not None and environment.status in lifecycle.CHANGING:
        if environment.status is Status.ROLLING_BACK:
            return undoing.undo(environment, observed, change, now)
        if environment.status is Status.CREATING and environment.failure is not None:
            return teardown.tear_down(environment, observed, now, Event.FAILED)
        return changing.advance(environment, observed, change, now, pace)
    return _settled(environment, observed, now, pace)


def _settled(environment: Environment, observed: Observed, now: datetime, pace: Pace) -> Plan:
    match environment.status:
        case Status.AVAILABLE | Status.UPDATE_FAILED:
            return hibernation.slept(environment, observed, now, pace) or keeping.watch(
                environment, observed, now, pace
            )
        case Status.UNAVAILABLE:
            return keeping.recover(environment, observed)
        case Status.DELETING:
            return teardown.tear_down(environment, observed, now, Event.REMOVED)
        case _:
            return Wait(phase=Phase.SETTLED, detail="", again_after=CALM)
