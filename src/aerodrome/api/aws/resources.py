"""The policies of buckets, queues, topics, keys, secrets and streams: asked of the emulator, which stores them.

`app` asks before it decides. Buckets' policies are kept for a moment, since every request to S3 needs one; a change
that passes the door is seen at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

KEPT = 2.0
"""Seconds: after a crash the emulator may have an older policy than the one that was seen."""

MOST_KEPT = 10_000

WITH_POLICIES = frozenset({"s3", "sqs", "sns", "kms", "secretsmanager", "kinesis"})
"""Services whose resources have policies, by MiniStack's names."""

REQUIRED = frozenset({"kms"})
"""Services whose resources' policies must name who asks, or its account."""

_CHANGES = frozenset({"PutBucketPolicy", "DeleteBucketPolicy", "PutBucketPublicAccessBlock", "CreateBucket",
                      "DeleteBucket"})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What the emulator knows of a resource."""

    arn: str
    """Whole: of a secret with its random end, of an alias the key's."""
    policy: str | None
    """None: it has none, or does not exist."""
    exists: bool = True
    """False when it must exist and does not."""
    is_closed: bool = False
    """True for a bucket with a public policy whose Block Public Access (RestrictPublicBuckets) shuts the public out."""


class Ask(Protocol):
    """Asks the emulator a question of ours."""

    async def __call__(self, question: str, given: Mapping[str, str]) -> Any:
        """Its answer, from JSON."""


class Tags(Protocol):
    """Asks the log store."""

    async def __call__(self, arn: str) -> Mapping[str, str] | None:
        """The tags of a log group; None: the ARN names more than one."""


class Resources:
    """Looks them up."""

    def __init__(self, ask: Ask, tags_of_logs: Tags, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._tags_of_logs = tags_of_logs
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, Resource]] = {}

    async def of(self, service: str, arn: str, named: str = "") -> Resource:
        """The resource that an ARN names, or what the request itself calls `named`."""
        if service not in WITH_POLICIES or not arn.startswith("arn:"):
            return Resource(arn=arn, policy=None)
        if service != "s3":
            given = {"service": service, "arn": arn, "named": named}
            return _resource(arn, await self._ask("resource", given))
        bucket = arn.removeprefix("arn:aws:s3:::").partition("/")[0]
        kept = self._buckets.get(bucket)
        if kept is None or self._monotonic() - kept[0] > KEPT:
            whole = f"arn:aws:s3:::{bucket}"
            found = _resource(arn, await self._ask("resource", {"service": "s3", "arn": whole, "named": ""}))
            if len(self._buckets) >= MOST_KEPT:
                self._buckets.clear()
            kept = self._buckets[bucket] = (self._monotonic(), found)
        return Resource(arn=arn, policy=kept[1].policy, is_closed=kept[1].is_closed)

    async def tags(
        self, service: str, arn: str, version: str
    ) -> tuple[Mapping[str, str] | None, Mapping[str, str] | None]:
        """The tags of a resource, and of S3's those of the object's version; None: nobody can tell them."""
        if not arn.startswith("arn:"):
            return {}, {}
        if service == "logs":
            return await self._tags_of_logs(arn), {}
        found = await self._ask("tags", {"service": service, "arn": arn, "version": version})
        return found["resource"], found["object"]

    async def buckets(self) -> list[str]:
        """The names of all buckets."""
        found: list[str] = await self._ask("buckets", {})
        return found

    def forget(self, action: str, arn: str) -> None:
        """Note that an operation has been let through that may change a bucket's policy."""
        if action.partition(":")[2] in _CHANGES:
            self._buckets.pop(arn.removeprefix("arn:aws:s3:::").partition("/")[0], None)


def _resource(arn: str, found: Mapping[str, Any]) -> Resource:
    return Resource(
        arn=found.get("arn") or arn,
        policy=found.get("policy") or None,
        exists=bool(found.get("exists", True)),
        is_closed=bool(found.get("closed")),
    )
