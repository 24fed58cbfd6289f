"""InvokeRestApi: one call of the environment's Airflow REST API, made in the caller's name.

The call itself is `doors.rest`; here only who may be asked, and which answer is an error. Until IAM comes there is one
principal, the developer on this machine.
"""

from __future__ import annotations

from typing import Any

from anyio import to_thread

from aerodrome.api.doors import Doors
from aerodrome.api.operations import find
from aerodrome.api.wire import errors
from aerodrome.errors import CallerError
from aerodrome.model.environment import Document
from aerodrome.model.lifecycle import Status

_CLIENT_ERROR = 300
"""From here on an answer is an error: redirections lead nowhere that the caller could go."""

_SERVER_ERROR = 500


async def invoke_rest_api(doors: Doors, given: Document) -> dict[str, Any]:
    """Airflow's status and answer.

    Raises:
        WireError: RestApiClientException or RestApiServerException with Airflow's own answer.
        CallerError: the environment is not available, or Airflow's REST API cannot be asked so.
    """
    environment = await to_thread.run_sync(find.by_name, doors, given["Name"])
    if environment.status != Status.AVAILABLE:
        raise CallerError(
            f"Environment '{environment.name}' is {environment.status}: InvokeRestApi needs one that is "
            f"{Status.AVAILABLE}. GetEnvironment tells when it is."
        )
    query, body = given.get("QueryParameters"), given.get("Body")
    status, document = await doors.rest(environment, given["Method"], given["Path"], query, body)
    if status < _CLIENT_ERROR:
        return {"RestApiStatusCode": status, "RestApiResponse": document}
    code = errors.REST_CLIENT if status < _SERVER_ERROR else errors.REST_SERVER
    raise errors.WireError(code, RestApiStatusCode=status, RestApiResponse=document)
