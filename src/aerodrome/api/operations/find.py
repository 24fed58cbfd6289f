"""An environment by its name or ARN, or the sentence that it does not exist."""

from __future__ import annotations

from aerodrome.api.doors import Doors
from aerodrome.errors import NotFoundError
from aerodrome.model import arns
from aerodrome.model.environment import Environment


def by_name(doors: Doors, name: str) -> Environment:
    """The environment `name`.

    Raises:
        NotFoundError: there is none.
    """
    found = doors.environments.get(name)
    if found is None:
        raise NotFoundError(f"Environment '{name}' not found: ListEnvironments tells which ones exist.")
    return found


def by_arn(doors: Doors, arn: str) -> Environment:
    """The environment with this ARN; account and region count.

    Raises:
        NotFoundError: there is none.
    """
    found = doors.environments.get(arns.environment_name(arn) or "")
    if found is None or found.arn != arn:
        raise NotFoundError(f"ResourceArn {arn} names no environment here: GetEnvironment tells an environment's ARN.")
    return found
