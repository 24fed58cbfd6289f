"""The fixes that a person needs where the service model's own constraint does not say enough. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _bucket_hint(value: Any) -> str:
    if isinstance(value, str) and value.endswith("/"):
        return "remove the trailing '/' from SourceBucketArn"
    return "SourceBucketArn is the bucket's ARN alone, such as arn:aws:s3:::my-bucket"


def _option_hint(value: Any) -> str:
    if isinstance(value, str) and not value.isascii():
        return "option values may have only printable ASCII characters: remove or escape the others"
    return "option values are strings of printable ASCII characters"


HINTS: Mapping[str, Callable[[Any], str]] = {
    "S3BucketArn": _bucket_hint,
    "ConfigValue": _option_hint,
    "ConfigKey": lambda _: "option keys are written section.option in lower case",
    "SubnetList": lambda _: "give exactly two subnets",
    "SecurityGroupList": lambda _: "give one to five security groups",
    "EnvironmentName": lambda _: "a letter first, then letters, digits, '-' and '_', 80 characters at most",
}
"""Shape name → the fix that a person needs beside the model's own constraint."""
