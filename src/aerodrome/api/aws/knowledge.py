"""What IAM may ask about one request: what is known at once, tags that are asked for, what nobody can tell here. Pure.

A condition on what nobody can tell lets no Allow apply, and every Deny. Tags of what is there already are asked of the
emulator, but only when a policy in force has a condition on one: `app` judges once more then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from aerodrome.identity.policy.patterns import UNKNOWN, Context

RequestTags = Callable[[], Context | None]
"""The condition keys of the tags that a request gives or takes away; None: it cannot be told."""

_GIVEN = ("aws:requesttag/", "aws:tagkeys", "s3:requestobjecttag")

_OF_OBJECT = "s3:existingobjecttag/"

_OF_OBJECT_ASKED = re.compile(r"s3:(GetObject.*|(Put|Delete)Object(Version)?(Acl|Tagging))")
"""Actions for which S3 looks at an object's tags."""

_TOLD: Mapping[str, frozenset[str]] = {
    "s3": frozenset(
        {"prefix", "delimiter", "max-keys", "versionid", "x-amz-acl", "x-amz-server-side-encryption",
         "x-amz-storage-class", "x-amz-copy-source", "x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp",
         "x-amz-grant-write-acp", "x-amz-grant-full-control", "x-amz-content-sha256", "signatureversion", "authtype",
         "resourceaccount"}
    ),
    "kms": frozenset({"calleraccount", "viaservice"}),
    "cloudwatch": frozenset({"namespace", "alarmactions"}),
    "dynamodb": frozenset({"attributes", "select"}),
}  # fmt: skip
"""By service: its own condition keys of which the door knows whether a request has them."""


class Knowledge(Mapping[str, tuple[str, ...]]):
    """The condition keys of one request, as a context for IAM."""

    def __init__(self, found: Context, action: str, given: RequestTags) -> None:
        self._found = found
        self._action = action
        self._service = action.partition(":")[0].lower()
        self._given = given
        self._stored: Mapping[str, Mapping[str, str] | None] | None = None
        self.wants_stored = False
        """Whether a tag was asked for that only the emulator knows."""

    def learn(self, resource: Mapping[str, str] | None, an_object: Mapping[str, str] | None) -> None:
        """The tags of the resource, and of the object of S3's; None: they cannot be told."""
        self._stored = {"resource": resource, "object": an_object}
        self.wants_stored = False

    def __getitem__(self, key: str) -> tuple[str, ...]:
        if key in self._found:
            return self._found[key]
        if key.startswith(_GIVEN):
            given = self._given()
            return UNKNOWN if given is None else given[key]
        if key.startswith(_OF_OBJECT):
            if not _OF_OBJECT_ASKED.fullmatch(self._action):
                raise KeyError(key)
            return self._tag("object", key)
        if key.startswith(("aws:resourcetag/", f"{self._service}:resourcetag/")):
            return self._tag("resource", key)
        service, _, name = key.partition(":")
        if service == self._service and name not in _TOLD.get(service, frozenset()):
            return UNKNOWN
        raise KeyError(key)

    def _tag(self, of: str, key: str) -> tuple[str, ...]:
        if self._stored is None:
            self.wants_stored = True
            return UNKNOWN
        tags = self._stored[of]
        if tags is None:
            return UNKNOWN
        name = key.partition("/")[2]
        found = tuple(value for tag, value in tags.items() if tag.lower() == name)
        if not found:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)
