"""The life of an environment as one table: (status, event) → status and a sentence.

A pair that is missing from the table is illegal, and says so. Nothing else in Aerodrome changes a status.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aerodrome.errors import CallerError


class Status(StrEnum):
    """MWAA's statuses that can be reached today; names and meanings are the API's."""

    CREATING = "CREATING"
    CREATE_FAILED = "CREATE_FAILED"
    AVAILABLE = "AVAILABLE"
    UNAVAILABLE = "UNAVAILABLE"
    DELETING = "DELETING"
    DELETED = "DELETED"


class Event(StrEnum):
    """What happens to an environment."""

    CREATED = "CREATED"
    FAILED = "FAILED"
    LOST = "LOST"
    RECOVERED = "RECOVERED"
    DELETE_REQUESTED = "DELETE_REQUESTED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads, and the sentence for the event log."""

    status: Status
    sentence: str


TABLE: dict[tuple[Status, Event], Transition] = {
    (Status.CREATING, Event.CREATED): Transition(
        Status.AVAILABLE, "Every unit is ready; the environment is available."
    ),
    (Status.CREATING, Event.FAILED): Transition(
        Status.CREATE_FAILED, "The creation failed and what it had started was removed."
    ),
    (Status.CREATING, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for during creation."),
    (Status.CREATE_FAILED, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for."),
    (Status.AVAILABLE, Event.LOST): Transition(
        Status.UNAVAILABLE, "The environment's processes are gone; they are being started again."
    ),
    (Status.AVAILABLE, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for."),
    (Status.UNAVAILABLE, Event.RECOVERED): Transition(Status.AVAILABLE, "Every unit is ready again."),
    (Status.UNAVAILABLE, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for."),
    (Status.DELETING, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for once more."),
    (Status.DELETING, Event.REMOVED): Transition(Status.DELETED, "Nothing of the environment is left."),
}


def transition(status: Status, event: Event) -> Transition:
    """What `event` does to an environment in `status`.

    Raises:
        CallerError: the status does not allow the event; the sentence is worded as MWAA words it.
    """
    found = TABLE.get((status, event))
    if found is None:
        verb = {Event.DELETE_REQUESTED: "deleted"}.get(event, f"given the event {event}")
        raise CallerError(f"Environments with {status} status cannot be {verb}")
    return found
