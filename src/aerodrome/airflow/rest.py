"""Airflow's REST API as InvokeRestApi sees it: parameters to request, answer to (status, document).

Pure; `api.airflow_rest` sends the request over the web server's unix socket, with a token. A path can never leave the
stable REST API: `/ui`, `/auth` and `/execution` are out of reach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aerodrome import bounded_json
from aerodrome.airflow.versions import Version
from aerodrome.bounded_json import TooManyValuesError
from aerodrome.errors import CallerError

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")

RESPONSE_LIMIT = 6 * 1024 * 1024
"""Bytes that an answer may have (MWAA's quota)."""

DEEPEST = 100
"""Lists and objects in each other that an answer may have; arbitrary, far above any of Airflow's."""

TIMEOUT = 10.0
"""Seconds that a call may take (MWAA's quota)."""

_PATH = re.compile(r"(/[A-Za-z0-9_.~:@!$&'()*+,;=%-]+)+/?")
"""An absolute path of non-empty segments in the alphabet of RFC 3986."""

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:2[EeFf]|5[Cc]|25|00|0[0-9A-Fa-f]|1[0-9A-Fa-f])")
"""A broken escape, or one that hides a dot, a slash, a backslash, a further escape or a control character."""


@dataclass(frozen=True, slots=True)
class RestRequest:
    """What to send to the web server."""

    method: str
    target: str
    """Path and query, ready for the request line."""
    headers: Mapping[str, str]
    body: bytes | None


def request(version: Version, *, path: str, method: str, query: Any = None, body: Any = None) -> RestRequest:
    """The HTTP request of an InvokeRestApi call; `query` and `body` are JSON documents or None.

    Raises:
        CallerError: a parameter is not one that MWAA takes, or this Airflow has no REST API.
    """
    if method not in METHODS:
        raise CallerError(f"Method {method[:16]!r} is not supported. Use one of: {', '.join(METHODS)}.")
    prefix = version.adapter.REST_PREFIX
    if prefix is None:
        raise CallerError(
            f"Airflow {version.number} has no REST API that InvokeRestApi could call. Use its command line "
            "(CreateCliToken), or an environment with Airflow 2 or later."
        )
    target = prefix + _checked(path)
    if query:
        target += "?" + _query(query)
    if body is None:
        return RestRequest(method, target, {"Accept": "application/json"}, None)
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    return RestRequest(method, target, headers, json.dumps(body, separators=(",", ":")).encode())


def document(status: int, body: bytes) -> tuple[int, Any]:
    """The status code and the JSON document of Airflow's answer: `{}` when it has no body.

    An answer that is too long, or no JSON that can be sent on, is reported as Airflow's failure (502).
    """
    if len(body) > RESPONSE_LIMIT:
        return 502, {"title": "Response too large", "detail": f"The response is longer than {RESPONSE_LIMIT} bytes."}
    if not body.strip():
        return status, {}
    try:
        return status, bounded_json.strictly(body, deepest=DEEPEST)
    except TooManyValuesError as error:
        return 502, {"title": "Response too large", "detail": f"The response cannot be read: {error}."}
    except ValueError:
        text = body[:2000].decode(errors="replace")
        return (status if status >= 400 else 502), {"title": "Not a JSON document", "detail": text}  # noqa: PLR2004 - HTTP


def _checked(path: str) -> str:
    problem = CallerError(
        f"Path {path[:64]!r} must be a path of the Airflow REST API without its prefix, such as /dags/example/dagRuns."
    )
    if not _PATH.fullmatch(path) or _ESCAPE.search(path):
        raise problem
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise problem
    return path


def _query(query: Any) -> str:
    if not isinstance(query, Mapping):
        raise CallerError("QueryParameters must be a JSON object.")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(str(name), _text(str(name), item)) for item in values]
    return urlencode(pairs)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise CallerError(f"QueryParameters: {name[:64]!r} must be text, a number, a boolean or a list of these.")
