"""Which paths may reach Airflow. Pure: a path in its one canonical spelling passes, any other is refused.

A path that two programs could read differently (dots, encoded slashes, a second layer of encoding) is refused outright.
So the path that is judged here is the path that Airflow's router sees. Airflow's own permissions guard the rest.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

LONGEST = 8 * 1024
"""Bytes of a path; Airflow's own are far shorter."""

_CANONICAL = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")

_FORBIDDEN_INSIDE = re.compile(rb"[\x00-\x1f\x7f/\\%]")
"""Characters that must not be escaped: control characters, both slashes, and the escape character itself."""

_BLOCKED = frozenset({"execution", "auth"})
"""First segments: the API of running tasks, and token endpoints of auth managers. Airflow reserves both."""

_OWN = ("/pluginsv2/aws_mwaa/", "/aws_mwaa/")


class RefusedPathError(Exception):
    """The path is not in canonical spelling."""


def canonical(raw: bytes) -> str:
    """The decoded path.

    Raises:
        RefusedPathError: the spelling is not canonical.
    """
    if len(raw) > LONGEST or not _CANONICAL.fullmatch(raw) or b"//" in raw:
        raise RefusedPathError
    for segment in raw.split(b"/"):
        decoded = unquote_to_bytes(segment)
        if decoded in {b".", b".."} or (decoded != segment and _FORBIDDEN_INSIDE.search(decoded)):
            raise RefusedPathError
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise RefusedPathError from None


def is_blocked(path: str) -> bool:
    """True for a canonical path that never reaches Airflow, in any case of letters."""
    return path.split("/")[1].strip().casefold() in _BLOCKED


def own(path: str) -> str | None:
    """What follows `/aws_mwaa/` (or its place among Airflow 3's plug-ins); None when the path is not the gateway's."""
    folded = path.casefold()
    for prefix in _OWN:
        if folded.startswith(prefix):
            return path[len(prefix) :].rstrip("/")
        if folded == prefix[:-1]:
            return ""
    return None
