"""Marker and MaxItems: one page of ordered things.

A marker is opaque to callers. It is the place of the last thing on the page before, packed so that a made-up marker is
recognised.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from aerodrome.api.query.call import Output
from aerodrome.model.iam.entities import Group, Role, User
from aerodrome.model.iam.errors import VALIDATION, IamError

PAGE = 100
"""Things on a page when MaxItems is not given."""

_FORM = "1:"
"""The version of the marker's form."""

ThingT = TypeVar("ThingT")
NamedT = TypeVar("NamedT", User, Group, Role)


def page(
    things: Iterable[ThingT], given: Mapping[str, Any], place: Callable[[ThingT], str]
) -> tuple[list[ThingT], Output]:
    """One page in the order of `place`, and the members IsTruncated and Marker of the answer."""
    after = _unpacked(given["Marker"]) if "Marker" in given else ""
    most = given.get("MaxItems", PAGE)
    left = sorted((each for each in things if place(each) > after), key=place)
    shown = left[:most]
    if len(left) <= most:
        return shown, {"IsTruncated": False}
    return shown, {"IsTruncated": True, "Marker": _packed(place(shown[-1]))}


def page_by_name(things: Iterable[NamedT], given: Mapping[str, Any]) -> tuple[list[NamedT], Output]:
    """As `page`, for the things whose path begins with PathPrefix, ordered by name."""
    prefix = given.get("PathPrefix", "/")
    return page((each for each in things if each.path.startswith(prefix)), given, lambda each: each.name)


def _packed(place: str) -> str:
    return base64.urlsafe_b64encode(f"{_FORM}{place}".encode()).decode()


def _unpacked(marker: str) -> str:
    try:
        text = base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not text.startswith(_FORM):
        raise IamError(VALIDATION, "Invalid Marker: use the one that the page before returned, or leave it out.")
    return text.removeprefix(_FORM)
