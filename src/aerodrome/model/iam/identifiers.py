"""Unique ids, access keys and ARNs of IAM, made from random bytes that the caller brings. Pure."""

from __future__ import annotations

import base64

USER, GROUP, ROLE, POLICY, ACCESS_KEY = "AIDA", "AGPA", "AROA", "ANPA", "AKIA"
"""What AWS begins unique ids with, by kind of entity."""

RANDOM_BYTES = 30
"""How many random bytes each function here needs; the secret of an access key uses all of them."""

_UNIQUE_LENGTH, _KEY_LENGTH = 17, 16


def unique_id(prefix: str, random: bytes) -> str:
    """Such as `AIDA` and 17 letters and digits."""
    return prefix + base64.b32encode(random).decode()[:_UNIQUE_LENGTH]


def access_key_id(random: bytes) -> str:
    """`AKIA` and 16 letters and digits."""
    return ACCESS_KEY + base64.b32encode(random).decode()[:_KEY_LENGTH]


def secret_access_key(random: bytes) -> str:
    """40 characters, as AWS's secrets have."""
    return base64.b64encode(random[:RANDOM_BYTES]).decode()


def arn(partition: str, account: str, kind: str, path: str, name: str) -> str:
    """The ARN of an entity; `kind` is `user`, `group`, `role` or `policy`."""
    return f"arn:{partition}:iam::{account}:{kind}{path}{name}"
