"""The life of an environment as one table: (status, event) → status and a sentence.

A pair that is missing from the table is illegal, and says so. Nothing else in Aerodrome changes a status.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aerodrome.errors import CallerError


class Status(StrEnum):
    """MWAA's statuses that can be reached; names and meanings are the API's."""

    CREATING = "CREATING"
    CREATE_FAILED = "CREATE_FAILED"
    AVAILABLE = "AVAILABLE"
    UPDATING = "UPDATING"
    CREATING_SNAPSHOT = "CREATING_SNAPSHOT"
    MAINTENANCE = "MAINTENANCE"
    ROLLING_BACK = "ROLLING_BACK"
    UPDATE_FAILED = "UPDATE_FAILED"
    UNAVAILABLE = "UNAVAILABLE"
    DELETING = "DELETING"
    DELETED = "DELETED"


class Event(StrEnum):
    """What happens to an environment."""

    CREATED = "CREATED"
    FAILED = "FAILED"
    LOST = "LOST"
    RECOVERED = "RECOVERED"
    UPDATE_REQUESTED = "UPDATE_REQUESTED"
    MAINTENANCE_BEGUN = "MAINTENANCE_BEGUN"
    SNAPSHOT_BEGUN = "SNAPSHOT_BEGUN"
    SNAPSHOT_TAKEN = "SNAPSHOT_TAKEN"
    UPDATED = "UPDATED"
    UPDATE_BROKEN = "UPDATE_BROKEN"
    RESTORED = "RESTORED"
    MAINTENANCE_UNDONE = "MAINTENANCE_UNDONE"
    NOT_RESTORED = "NOT_RESTORED"
    DELETE_REQUESTED = "DELETE_REQUESTED"
    REMOVED = "REMOVED"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads, and the sentence for the event log."""

    status: Status
    sentence: str


_DELETION = Transition(Status.DELETING, "Deletion was asked for.")
_BROKEN = Transition(Status.ROLLING_BACK, "The change failed; what ran before is being restored.")
_BEGUN = Transition(Status.UPDATING, "An update was asked for.")
_MAINTAINED = Transition(Status.MAINTENANCE, "Maintenance has begun.")
_LOST = Transition(Status.UNAVAILABLE, "The environment's processes are gone; they are being started again.")

TABLE: dict[tuple[Status, Event], Transition] = {
    (Status.CREATING, Event.CREATED): Transition(
        Status.AVAILABLE, "Every unit is ready; the environment is available."
    ),
    (Status.CREATING, Event.FAILED): Transition(
        Status.CREATE_FAILED, "The creation failed and what it had started was removed."
    ),
    (Status.CREATING, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for during creation."),
    (Status.CREATE_FAILED, Event.DELETE_REQUESTED): _DELETION,
    (Status.AVAILABLE, Event.LOST): _LOST,
    (Status.AVAILABLE, Event.UPDATE_REQUESTED): _BEGUN,
    (Status.AVAILABLE, Event.MAINTENANCE_BEGUN): _MAINTAINED,
    (Status.AVAILABLE, Event.DELETE_REQUESTED): _DELETION,
    (Status.UPDATE_FAILED, Event.LOST): _LOST,
    (Status.UPDATE_FAILED, Event.UPDATE_REQUESTED): _BEGUN,
    (Status.UPDATE_FAILED, Event.MAINTENANCE_BEGUN): _MAINTAINED,
    (Status.UPDATE_FAILED, Event.DELETE_REQUESTED): _DELETION,
    (Status.UPDATING, Event.SNAPSHOT_BEGUN): Transition(
        Status.CREATING_SNAPSHOT, "A snapshot of the metadata database is being taken."
    ),
    (Status.UPDATING, Event.UPDATED): Transition(Status.AVAILABLE, "The update is done."),
    (Status.UPDATING, Event.UPDATE_BROKEN): _BROKEN,
    (Status.UPDATING, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for during an update."),
    (Status.CREATING_SNAPSHOT, Event.SNAPSHOT_TAKEN): Transition(Status.UPDATING, "The snapshot is taken."),
    (Status.CREATING_SNAPSHOT, Event.UPDATE_BROKEN): _BROKEN,
    (Status.CREATING_SNAPSHOT, Event.DELETE_REQUESTED): Transition(
        Status.DELETING, "Deletion was asked for during an update."
    ),
    (Status.MAINTENANCE, Event.UPDATED): Transition(Status.AVAILABLE, "The maintenance is done."),
    (Status.MAINTENANCE, Event.UPDATE_BROKEN): _BROKEN,
    (Status.MAINTENANCE, Event.DELETE_REQUESTED): Transition(
        Status.DELETING, "Deletion was asked for during maintenance."
    ),
    (Status.ROLLING_BACK, Event.RESTORED): Transition(
        Status.UPDATE_FAILED, "The update failed; the environment runs as it did before."
    ),
    (Status.ROLLING_BACK, Event.MAINTENANCE_UNDONE): Transition(
        Status.AVAILABLE, "The maintenance failed; the environment runs as it did before."
    ),
    (Status.ROLLING_BACK, Event.NOT_RESTORED): Transition(
        Status.UNAVAILABLE, "What ran before does not come up yet; it is being started again and again."
    ),
    (Status.ROLLING_BACK, Event.DELETE_REQUESTED): Transition(
        Status.DELETING, "Deletion was asked for while a failed change was being undone."
    ),
    (Status.UNAVAILABLE, Event.RECOVERED): Transition(Status.AVAILABLE, "Every unit is ready again."),
    (Status.UNAVAILABLE, Event.DELETE_REQUESTED): _DELETION,
    (Status.DELETING, Event.DELETE_REQUESTED): Transition(Status.DELETING, "Deletion was asked for once more."),
    (Status.DELETING, Event.REMOVED): Transition(Status.DELETED, "Nothing of the environment is left."),
}

WITH_WEB_SERVER = frozenset({
    Status.AVAILABLE, Status.UPDATING, Status.CREATING_SNAPSHOT, Status.MAINTENANCE, Status.ROLLING_BACK,
    Status.UPDATE_FAILED,
})  # fmt: skip
"""Statuses in which an environment's web server runs, but for the moments in which its database is replaced."""

SETTLED = frozenset({Status.AVAILABLE, Status.UPDATE_FAILED})
"""Statuses in which everything runs and nothing is under way; such an environment may hibernate."""

CHANGING = frozenset({
    Status.CREATING, Status.UPDATING, Status.CREATING_SNAPSHOT, Status.MAINTENANCE, Status.ROLLING_BACK,
})  # fmt: skip
"""Statuses in which a change is under way."""

_VERBS = {Event.DELETE_REQUESTED: "deleted", Event.UPDATE_REQUESTED: "updated"}


def transition(status: Status, event: Event) -> Transition:
    """What `event` does to an environment in `status`.

    Raises:
        CallerError: the status does not allow the event; the sentence is worded as MWAA words it.
    """
    found = TABLE.get((status, event))
    if found is None:
        verb = _VERBS.get(event, f"given the event {event}")
        raise CallerError(f"Environments with {status} status cannot be {verb}")
    return found
