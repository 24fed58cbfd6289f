"""Finds what a request names (an environment, a revision, a snapshot), or says that it does not exist."""

from __future__ import annotations

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model import arns, lifecycle
from aerodrome.model.environment import Environment
from aerodrome.model.history import Revision, Snapshot
from aerodrome.model.lifecycle import Status
from aerodrome.operations.dependencies import Dependencies


def by_name(deps: Dependencies, name: str, *, listed_by: str = "ListEnvironments") -> Environment:
    """The environment `name`; `listed_by` is what shows the caller which environments exist.

    Raises:
        NotFoundError: there is none.
    """
    found = deps.environments.get(name)
    if found is None:
        raise NotFoundError(f"Environment '{name[:100]}' not found: {listed_by} shows which ones exist.")
    return found


def with_web_server(deps: Dependencies, name: str, operation: str) -> Environment:
    """The environment `name`, when its web server can be used.

    Raises:
        NotFoundError: there is none.
        CallerError: it has another status.
    """
    environment = by_name(deps, name)
    if environment.status not in lifecycle.WITH_WEB_SERVER:
        raise CallerError(
            f"Environment '{name}' is {environment.status}: {operation} needs one that is {Status.AVAILABLE}. "
            "GetEnvironment shows its status."
        )
    return environment


def by_arn(deps: Dependencies, arn: str) -> Environment:
    """The environment with this ARN; account and region must match too.

    Raises:
        NotFoundError: there is none.
    """
    found = deps.environments.get(arns.environment_name(arn) or "")
    if found is None or found.arn != arn:
        raise NotFoundError(f"No environment has the ResourceArn {arn}: GetEnvironment shows an environment's ARN.")
    return found


def for_operator(deps: Dependencies, name: str) -> Environment:
    """As `by_name`, for the operator, who does not use MWAA's API."""
    return by_name(deps, name, listed_by="aerodrome status")


def revision(deps: Dependencies, name: str, number: int) -> Revision:
    """A revision of an environment that exists.

    Raises:
        NotFoundError: it has no revision with that number.
    """
    for each in deps.environments.revisions(name):
        if each.number == number:
            return each
    raise NotFoundError(f"{name} has no revision {number}: aerodrome revisions {name} lists them.")


def snapshot(deps: Dependencies, name: str, number: int) -> Snapshot:
    """A snapshot of an environment that exists.

    Raises:
        NotFoundError: it has no snapshot with that number.
    """
    for each in deps.snapshots.of(name):
        if each.number == number:
            return each
    raise NotFoundError(f"{name} has no snapshot {number}: aerodrome snapshots list {name} shows them.")
