"""One MWAA request, from raw path to response: route, body, input, operation, output.

`front` calls it for requests signed for MWAA. The order of `answer` is the order of a request's life; whatever goes
wrong on the way leaves as an error that the operation declares.
"""

from __future__ import annotations

import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from aerodrome.api import bodies
from aerodrome.api.doors import Doors
from aerodrome.api.operations import rules, table
from aerodrome.api.wire import answers, errors, requests, routes

log = structlog.get_logger("aerodrome.api")


async def answer(doors: Doors, request: Request, raw_path: str) -> Response:
    """The response to a request for MWAA; `raw_path` begins with a slash and is not decoded."""
    request_id = answers.new_request_id()
    match = routes.match(request.method, raw_path)
    if match is None:
        sentence = f"MWAA has no operation {request.method[:16]} on this path."
        return answers.foreign(404, "UnknownOperationException", sentence)
    operation = match.operation
    logged = log.bind(operation=operation.name, environment=match.labels.get("Name"), request_id=request_id)
    try:
        query = str(request.scope["query_string"], "latin-1")
        body = await bodies.read(request)
        given = await to_thread.run_sync(requests.read, match, query, body, rules.HINTS)
        output = await table.OPERATIONS[operation.name](doors, given)
        response = answers.success(operation, output, request_id=request_id)
    except Exception as caught:  # noqa: BLE001 - every failure must leave as a declared error
        error = errors.translated(operation.name, caught)
        logged.info("refused", error=error.code)
        return answers.failure(error, request_id=request_id)
    logged.info("answered")
    return response


def missing_token() -> Response:
    """The answer to a request for MWAA without a signature, worded as AWS words it."""
    return answers.foreign(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
