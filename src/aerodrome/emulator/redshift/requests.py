"""What a request may ask for beyond the model's own constraints, and the parts that several operations read. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aerodrome.emulator.redshift import wire
from aerodrome.emulator.redshift.warehouses import Warehouse
from aerodrome.emulator.redshift.wire import ServiceError

Document = Mapping[str, Any]

LONGEST_TEXT = 100 * 1024
"""Characters of all SQL and all parameters of a request, as the service has it for one statement."""

LONGEST_NAME = 2048
"""Characters of the other members that are remembered."""

LONGEST_DATABASE = 127
"""Characters of a database's name, as Redshift has it."""

MOST_LISTED = 1000
"""What one page of a list holds."""

_NO_SESSIONS = "there are no sessions, each statement has one of its own"

UNOFFERED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "WithEvent": (bool, "no event is sent to EventBridge"),
    "SessionId": (bool, _NO_SESSIONS),
    "SessionKeepAliveSeconds": (bool, _NO_SESSIONS),
    "ResultFormat": (lambda given: given != "JSON", "results are JSON"),
}
"""Member → which values of it are refused, and why."""


def check(given: Document, texts: Sequence[str]) -> None:
    """See that a request asks for nothing that is not done here; `texts` are what goes to PostgreSQL.

    Raises:
        ServiceError: it does.
    """
    for name, (is_refused, why) in UNOFFERED.items():
        if name in given and is_refused(given[name]):
            raise ServiceError(wire.VALIDATION, f"{name} is not offered by the embedded emulator: {why}.")
    if sum(map(len, texts)) > LONGEST_TEXT:
        raise ServiceError(wire.VALIDATION, f"Statements and parameters are longer than {LONGEST_TEXT} characters.")
    others = {name: value for name, value in given.items() if isinstance(value, str) and value not in texts}
    for name, value in others.items():
        if len(value) > LONGEST_NAME:
            raise ServiceError(wire.VALIDATION, f"{name} is longer than {LONGEST_NAME} characters.")
    for text in [*texts, *others.values()]:
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise ServiceError(wire.VALIDATION, "A text holds a character that PostgreSQL cannot hold.")


def endpoint(given: Document) -> str:
    """The cluster or workgroup, in the words of `Warehouse.endpoint`."""
    cluster, workgroup = given.get("ClusterIdentifier"), given.get("WorkgroupName")
    if (cluster is None) == (workgroup is None):
        raise ServiceError(wire.VALIDATION, "Give either ClusterIdentifier or WorkgroupName.")
    return f"workgroup/{workgroup}" if cluster is None else f"cluster/{cluster}"


def warehouse(given: Document) -> Warehouse:
    """The database that the request is for; Redshift folds its name to lower case."""
    found = given.get("Database", "")
    if not 0 < len(found) <= LONGEST_DATABASE:
        raise ServiceError(wire.VALIDATION, f"Database is missing, or longer than {LONGEST_DATABASE} characters.")
    return Warehouse(endpoint=endpoint(given), database=found.lower())


def fingerprint(given: Document) -> str:
    """What makes two requests the same."""
    same = {name: value for name, value in given.items() if name != "WaitTimeSeconds"}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def number(token: str | None, most: int) -> int:
    """What a NextToken of ours says: how much there was before. 0 without one."""
    if token is None:
        return 0
    if not token.isascii() or not token.isdecimal() or len(token) > len(str(most)) or int(token) > most:
        raise ServiceError(wire.VALIDATION, "NextToken: it is none that was given out.")
    return int(token)


def page(found: Sequence[Any], given: Document, *, most: int = MOST_LISTED) -> tuple[Sequence[Any], str | None]:
    """The part of a list that is asked for, and the token of the next."""
    first = number(given.get("NextToken"), len(found))
    after = first + (given.get("MaxResults") or most)
    return found[first:after], str(after) if len(found) > after else None
