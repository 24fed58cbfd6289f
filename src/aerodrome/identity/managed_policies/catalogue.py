"""The managed policies of AWS that every account has, as IAM's entities.

`assembly` gives them to the ledger's directory. The placeholders in the documents of MWAA's user guide are wildcards
here; to grant less, write a policy of your own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources

from aerodrome.model.iam import identifiers
from aerodrome.model.iam.entities import Policy, PolicyVersion

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)
"""AWS's own dates would claim that these are AWS's own documents, word for word."""


@cache
def policies(partition: str) -> Mapping[str, Policy]:
    """Every managed policy, by the ARN that it has in a partition."""
    folder = resources.files(__package__)
    files = [file for file in folder.iterdir() if file.name.endswith(".json")]
    found = [_policy(file.name.removesuffix(".json"), file.read_text("utf-8"), partition) for file in files]
    return {policy.arn: policy for policy in sorted(found, key=lambda policy: policy.name)}


def _policy(name: str, text: str, partition: str) -> Policy:
    document = json.loads(text)
    path = document["Path"]
    content = json.dumps(document["PolicyDocument"], indent=2).replace("arn:aws:", f"arn:{partition}:")
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest())
    return Policy(
        name=name,
        path=path,
        unique_id=identifiers.unique_id(identifiers.POLICY, digest),
        arn=f"arn:{partition}:iam::aws:policy{path}{name}",
        created_at=CREATED_AT,
        updated_at=CREATED_AT,
        versions={"v1": PolicyVersion(document=content, created_at=CREATED_AT)},
        default_version="v1",
        latest_number=1,
        description=document["Description"],
    )
