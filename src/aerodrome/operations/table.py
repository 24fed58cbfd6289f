"""Operation name → what it does. Every operation of the service model has a row; a test compares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anyio import to_thread

from aerodrome.model.spec import Document
from aerodrome.operations import create, delete, describe, listing, login, rest, tags, unoffered, update
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant

Blocking = Callable[[Dependencies, Document], dict[str, Any]]
BlockingFor = Callable[[Dependencies, Document, Grant], dict[str, Any]]
Operation = Callable[[Dependencies, Document, Grant], Awaitable[dict[str, Any]]]


def _in_thread(blocking: Blocking) -> Operation:
    """For operations that do not need the caller. The ledger and AWS clients block; the event loop must not."""

    async def run(deps: Dependencies, given: Document, _grant: Grant) -> dict[str, Any]:
        return await to_thread.run_sync(blocking, deps, given)

    return run


def _in_thread_for(blocking: BlockingFor) -> Operation:
    """As above, for operations that act in the caller's name."""

    async def run(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
        return await to_thread.run_sync(blocking, deps, given, grant)

    return run


OPERATIONS: Mapping[str, Operation] = {
    "CreateEnvironment": _in_thread_for(create.create_environment),
    "GetEnvironment": _in_thread(describe.get_environment),
    "ListEnvironments": _in_thread(listing.list_environments),
    "DeleteEnvironment": _in_thread(delete.delete_environment),
    "TagResource": _in_thread(tags.tag_resource),
    "UntagResource": _in_thread(tags.untag_resource),
    "ListTagsForResource": _in_thread(tags.list_tags_for_resource),
    "CreateWebLoginToken": _in_thread_for(login.create_web_login_token),
    "CreateCliToken": _in_thread_for(login.create_cli_token),
    "InvokeRestApi": rest.invoke_rest_api,
    "UpdateEnvironment": _in_thread_for(update.update_environment),
    "PublishMetrics": _in_thread(unoffered.publish_metrics),
}
