"""What an event makes of an environment, beside its status: what runs, and how the last change ended. Pure.

The ledger applies it within one transaction; nothing else settles a change.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aerodrome.model import hibernation, lifecycle
from aerodrome.model.change import Change, ChangeKind
from aerodrome.model.environment import Environment, LastUpdate
from aerodrome.model.history import Outcome
from aerodrome.model.lifecycle import Event, Transition

USER_SOURCE = "user"
"""`LastUpdate.Source` of what a caller of the API asked for."""

MAINTENANCE_SOURCE = "maintenance"
"""`LastUpdate.Source` of what Aerodrome did by itself in the maintenance window."""

OUTCOMES = {
    Event.CREATED: Outcome.APPLIED,
    Event.UPDATED: Outcome.APPLIED,
    Event.FAILED: Outcome.FAILED,
    Event.RESTORED: Outcome.FAILED,
    Event.MAINTENANCE_UNDONE: Outcome.FAILED,
    Event.NOT_RESTORED: Outcome.FAILED,
}
"""Which events settle the change that was under way, and how."""

_WORDS = {Outcome.APPLIED: "SUCCESS", Outcome.FAILED: "FAILED"}
"""MWAA's words for it in `LastUpdate.Status`."""


def happened(environment: Environment, event: Event, now: datetime) -> tuple[Environment, Transition]:
    """The environment after the event, and the step of the lifecycle's table.

    Raises:
        CallerError: its status does not allow the event.
    """
    step = lifecycle.transition(environment.status, event)
    moved = replace(environment, status=step.status)
    if event is Event.LOST:
        moved = replace(moved, hibernation=hibernation.lost(environment.hibernation, now))
    outcome = OUTCOMES.get(event)
    if outcome is None:
        return moved, step
    failure = environment.failure if outcome is Outcome.FAILED else None
    update = replace(environment.last_update, status=_WORDS[outcome], created_at=now, failure=failure)
    settled = replace(moved, last_update=update, change=None)
    change = environment.change
    if outcome is Outcome.APPLIED and change is not None:
        settled = replace(settled, spec=change.spec, revision=change.revision, deployed=change.deployed)
    # A creation that failed keeps its failure: it is what the environment is.
    return settled if event is Event.FAILED else replace(settled, failure=None), step


def begun(environment: Environment, change: Change) -> tuple[Environment, Transition]:
    """The environment once a change of it has begun, and the step of the lifecycle's table.

    Raises:
        CallerError: its status does not allow a change.
    """
    is_maintenance = change.kind is ChangeKind.MAINTENANCE
    step = lifecycle.transition(
        environment.status, Event.MAINTENANCE_BEGUN if is_maintenance else Event.UPDATE_REQUESTED
    )
    update = LastUpdate(
        status="PENDING",
        created_at=change.requested_at,
        source=MAINTENANCE_SOURCE if is_maintenance else USER_SOURCE,
        strategy=change.strategy,
        maintained_at=change.requested_at if is_maintenance else environment.last_update.maintained_at,
    )
    slept = hibernation.changed(environment.hibernation, by_maintenance=is_maintenance, now=change.requested_at)
    after = replace(environment, status=step.status, change=change, last_update=update, failure=None, hibernation=slept)
    return after, step
