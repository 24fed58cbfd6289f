"""DeleteEnvironment: the request to remove an environment; the controller removes it."""

from __future__ import annotations

from typing import Any

from aerodrome.model.lifecycle import Event
from aerodrome.model.spec import Document
from aerodrome.operations.dependencies import Dependencies


def delete_environment(deps: Dependencies, given: Document) -> dict[str, Any]:
    """Ask for the removal; to ask again while it is under way is no error."""
    deps.environments.request(given["Name"], Event.DELETE_REQUESTED, deps.clock())
    return {}
