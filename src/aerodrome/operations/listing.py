"""ListEnvironments: names in order, a page at a time.

The token is opaque to callers. It is the last name of the page before, packed so that a made-up token is recognised.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model.spec import Document
from aerodrome.operations.dependencies import Dependencies

PAGE = 25
"""Names on a page when MaxResults is not given; MaxResults can be no larger."""

_TOKEN = re.compile(r"1:([a-zA-Z][0-9a-zA-Z_-]{0,79})")
"""The version of the token's form, and the name after which the next page begins."""


def list_environments(deps: Dependencies, given: Document) -> dict[str, Any]:
    """One page of names, and a token when there are more."""
    page = given.get("MaxResults", PAGE)
    after = unpacked(given["NextToken"]) if given.get("NextToken") else None
    names = deps.environments.names(after=after, limit=page + 1)
    if len(names) <= page:
        return {"Environments": names}
    return {"Environments": names[:page], "NextToken": packed(names[page - 1])}


def packed(name: str) -> str:
    """The token of the page that begins after `name`."""
    return base64.urlsafe_b64encode(f"1:{name}".encode()).decode()


def unpacked(token: str) -> str:
    """The name within a token.

    Raises:
        CallerError: the token is not one of ours.
    """
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        text = ""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise CallerError("NextToken is not valid: use the one that the page before returned, or leave it out.")
    return match[1]
