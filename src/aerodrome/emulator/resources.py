"""Questions of the door's that only the emulator can answer: what a name stands for, and which policy a resource has.

`__main__` answers them on the unix socket. MiniStack's modules are taken as they are when they are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
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
    if question == "tags":
        return _tags(given["service"], given["arn"], given["version"])
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


def _tags(service: str, arn: str, version: str) -> Answer:
    """The tags of what an ARN names, and of an object's version; None: it names more than one thing, or who knows."""
    if service != "s3":
        found = _TAGGED[service](_module(service), arn) if service in _TAGGED else None
        return {"resource": None if found is None else _named(found), "object": {}}
    s3, (bucket, _, key) = _module("s3"), arn.removeprefix("arn:aws:s3:::").partition("/")
    query = {"versionId": [version]} if version else {}
    of_object = None if set(key) & set("*?") else s3.object_tags_for_condition(bucket, key, query) if key else {}
    return {"resource": _named(s3._bucket_tags.get(bucket) or {}), "object": of_object}  # noqa: SLF001


_TAGGED: Mapping[str, Callable[[Any, str], Any]] = {
    "sqs": lambda sqs, arn: (sqs._queue_by_arn(arn) or {}).get("tags", {}),  # noqa: SLF001
    "sns": lambda sns, arn: (sns._topic_by_arn_any_scope(arn) or {}).get("tags", {}),  # noqa: SLF001
    "kms": lambda kms, arn: (kms._resolve_key(arn) or {}).get("Tags", {}),  # noqa: SLF001
    "secretsmanager": lambda secrets, arn: (secrets._resolve(arn)[1] or {}).get("Tags", {}),  # noqa: SLF001
    "kinesis": lambda kinesis, arn: (kinesis._resolve_stream_by_arn(arn) or {}).get("tags", {}),  # noqa: SLF001
    "dynamodb": lambda dynamodb, arn: dynamodb._tags.get(arn.partition("/index/")[0]) or {},  # noqa: SLF001
}
"""By service: what it keeps of the tags of a resource; nothing when there is none."""


def _named(found: Mapping[str, str] | list[Mapping[str, str]]) -> dict[str, str]:
    if isinstance(found, Mapping):
        return {str(name): str(value) for name, value in found.items()}
    return {str(tag.get("Key", tag.get("TagKey"))): str(tag.get("Value", tag.get("TagValue", ""))) for tag in found}


_NEW = "000000"
"""The random end of a secret that is not there yet."""


def _is_closed(arn: str, policy: str, owner: str) -> bool:
    s3, bucket = _module("s3"), arn.removeprefix("arn:aws:s3:::").partition("/")[0]
    return bool(s3._public_access_blocked(owner, bucket, "RestrictPublicBuckets") and s3._policy_is_public(policy))  # noqa: SLF001


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.services.{name}")
