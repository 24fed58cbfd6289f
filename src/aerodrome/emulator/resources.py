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
        return _resource(given["service"], given["arn"])
    return None


def _resource(service: str, arn: str) -> Answer:
    whole = _whole(service, arn)
    from ministack.core import iam_evaluator  # noqa: PLC0415 -- after MiniStack's environment is set

    found = iam_evaluator._resource_policy(service, whole)  # noqa: SLF001 -- pinned version
    policy, owner = found or ("", "")
    closed = service == "s3" and bool(policy) and _is_closed(whole, policy, owner)
    return {"arn": whole, "policy": policy, "closed": closed}


def _whole(service: str, arn: str) -> str:
    """The ARN of what a short one, or an alias, stands for."""
    if service == "secretsmanager":
        name = arn.partition(":secret:")[2]
        _, secret = _module("secretsmanager")._resolve(arn)  # noqa: SLF001 -- pinned version
        if not secret:
            _, secret = _module("secretsmanager")._resolve(name)  # noqa: SLF001
        return str(secret["ARN"]) if secret else f"{arn}-{_NEW}"
    if service == "kms":
        key = _module("kms")._resolve_key(arn)  # noqa: SLF001
        return str(key["Arn"]) if key else arn
    return arn


_NEW = "000000"
"""The random end of a secret that is not there yet."""


def _is_closed(arn: str, policy: str, owner: str) -> bool:
    s3, bucket = _module("s3"), arn.removeprefix("arn:aws:s3:::").partition("/")[0]
    return bool(s3._public_access_blocked(owner, bucket, "RestrictPublicBuckets") and s3._policy_is_public(policy))  # noqa: SLF001


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.services.{name}")
