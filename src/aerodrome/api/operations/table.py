"""Operation name → what it does. Every operation of the service model has a row; a test compares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anyio import to_thread

from aerodrome.api.doors import Doors
from aerodrome.api.operations import create, delete, describe, listing, rest, tags, unoffered
from aerodrome.model.environment import Document

Blocking = Callable[[Doors, Document], dict[str, Any]]
Operation = Callable[[Doors, Document], Awaitable[dict[str, Any]]]


def _in_thread(blocking: Blocking) -> Operation:
    """The ledger and AWS clients block; the event loop must not."""

    async def run(doors: Doors, given: Document) -> dict[str, Any]:
        return await to_thread.run_sync(blocking, doors, given)

    return run


OPERATIONS: Mapping[str, Operation] = {
    "CreateEnvironment": _in_thread(create.create_environment),
    "GetEnvironment": _in_thread(describe.get_environment),
    "ListEnvironments": _in_thread(listing.list_environments),
    "DeleteEnvironment": _in_thread(delete.delete_environment),
    "TagResource": _in_thread(tags.tag_resource),
    "UntagResource": _in_thread(tags.untag_resource),
    "ListTagsForResource": _in_thread(tags.list_tags_for_resource),
    "InvokeRestApi": rest.invoke_rest_api,
    "UpdateEnvironment": _in_thread(unoffered.update_environment),
    "CreateWebLoginToken": _in_thread(unoffered.create_web_login_token),
    "CreateCliToken": _in_thread(unoffered.create_cli_token),
    "PublishMetrics": _in_thread(unoffered.publish_metrics),
}
