"""InvokeRestApi: one call of an environment's Airflow REST API, in the caller's name and with the role IAM granted.

`Dependencies.rest` makes the call; this module decides what is sent, and which answer is an error.
"""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import parse_qsl

from anyio import to_thread

from aerodrome import bounded_json
from aerodrome.errors import AerodromeError, CallerError
from aerodrome.model.spec import Document
from aerodrome.operations import find
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant

_ERROR = 300
"""The first status that is an error: a redirection leads to no place that the caller can reach."""

MOST_PARAMETERS = 100
"""Parameters that the query of a Path may have; arbitrary."""


class RestApiError(AerodromeError):
    """Airflow answered with an error: its status and its document."""

    def __init__(self, status: int, document: Any) -> None:
        super().__init__(f"Airflow's REST API answered with status {status}.")
        self.status = status
        self.document = document


async def invoke_rest_api(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Airflow's status and answer.

    Raises:
        RestApiError: Airflow's answer is an error.
        CallerError: the environment is not available, or the request is none for Airflow's REST API.
        RetryError: the environment hibernated, and has not woken in time.
    """
    environment = await to_thread.run_sync(find.with_web_server, deps, given["Name"], "InvokeRestApi")
    await deps.awake(environment, "Somebody called its REST API.")
    path, _, query_in_path = given["Path"].partition("?")
    status, document = await deps.rest(
        environment,
        given["Method"],
        path,
        merged(query_in_path, given.get("QueryParameters")),
        body(given.get("Body")),
        subject=grant.principal.airflow_name,
        role=grant.airflow_role,
    )
    if status >= _ERROR:
        raise RestApiError(status, document)
    return {"RestApiStatusCode": status, "RestApiResponse": document}


def merged(query_in_path: str, parameters: Any) -> Any:
    """The query of the Path and QueryParameters as one; a name in both keeps the values of both.

    Raises:
        CallerError: the query of the Path is not valid.
    """
    if not query_in_path:
        return parameters
    if not isinstance(parameters, dict | None):
        raise CallerError("QueryParameters must be a JSON object.")
    try:
        pairs = parse_qsl(query_in_path, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise CallerError(
            f"Path has a query that is not UTF-8 or has more than {MOST_PARAMETERS} parameters: use QueryParameters."
        ) from None
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    for name, value in (parameters or {}).items():
        found.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return found


def body(document: Any) -> Any:
    """The body as a document: MWAA accepts an object, and a string that holds JSON.

    Raises:
        CallerError: the body is a string that holds no JSON.
    """
    if not isinstance(document, str):
        return document
    try:
        return bounded_json.loads(document.encode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise CallerError("Body is a string that holds no JSON: give a JSON object, or its text.") from None


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")
