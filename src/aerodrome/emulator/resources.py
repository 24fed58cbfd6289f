"""Questions of the door's that only the emulator can answer: what a name stands for, and which policy a resource has.

`__main__` answers them on the unix socket. MiniStack's modules are taken as they are when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

Answer = Mapping[str, Any] | list[str]


def answer(question: str, given: Mapping[str, str]) -> Answer | None:
    """The answer, for JSON; None when there is no such question."""
    from ministack.core import responses  # noqa: PLC0415 -- after MiniStack's environment is set

    responses.set_request_account_id("")
    if question == "buckets":
        return sorted(_module("s3")._buckets)  # noqa: SLF001 -- pinned version
    if question == "resource":
        return _resource(given["service"], given["arn"], given["named"])
    return None


def _resource(service: str, arn: str, named: str) -> Answer:
    whole, exists = _whole(service, arn, named)
    from ministack.core import iam_evaluator  # noqa: PLC0415 -- after MiniStack's environment is set

    found = iam_evaluator._resource_policy(service, whole)  # noqa: SLF001 -- pinned version
    policy, owner = found or ("", "")
    closed = service == "s3" and bool(policy) and _is_closed(whole, policy, owner)
    return {"arn": whole, "policy": policy, "closed": closed, "exists": exists}


def _whole(service: str, arn: str, named: str) -> tuple[str, bool]:
    """The ARN of what the request's own words stand for, asked as the operation will; and whether it can go on.

    A secret may be made yet; a key must exist, since without it an operation would take another.
    """
    if service == "secretsmanager":
        _, secret = _module("secretsmanager")._resolve(named or arn)  # noqa: SLF001 -- pinned version
        return (str(secret["ARN"]) if secret else f"{arn}-{_NEW}"), True
    if service == "kms":
        key = _module("kms")._resolve_key(named or arn)  # noqa: SLF001
        return (str(key["Arn"]), True) if key else (arn, False)
    if service == "kinesis" and named:
        state = _module("kinesis")._shard_iterators.get(named)  # noqa: SLF001
        return (arn.replace("stream/*", f"stream/{state['stream']}") if state else arn), True
    return arn, True


_NEW = "000000"
"""The random end of a secret that is not there yet."""


def _is_closed(arn: str, policy: str, owner: str) -> bool:
    s3, bucket = _module("s3"), arn.removeprefix("arn:aws:s3:::").partition("/")[0]
    return bool(s3._public_access_blocked(owner, bucket, "RestrictPublicBuckets") and s3._policy_is_public(policy))  # noqa: SLF001


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.services.{name}")
