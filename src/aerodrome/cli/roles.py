"""What `aerodrome role` does: an execution role with the policies of MWAA's user guide, by IAM's own API."""

from __future__ import annotations

import json
from typing import Any

from aerodrome.settings import Settings

POLICY = "MWAA-Execution-Policy"
"""The name of the policy that is ours; other policies of the role are left alone."""

ANY = "*"
"""The environment of a role that environments of any name may have."""


def create(settings: Settings, port: int, name: str, *, bucket: str, environment: str = ANY) -> str:
    """Make the role, or renew its policy; returns its ARN.

    Raises:
        CallerError: IAM refuses. RetryError: the API gives no answer.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - it takes its time to import

    from aerodrome.cli import aws_clients  # noqa: PLC0415 - as above
    from aerodrome.identity import execution_role  # noqa: PLC0415 - as above

    iam: Any = aws_clients.client(settings, port, "iam")
    document = execution_role.standard_policy(environment, bucket, region=settings.region, account=settings.account_id)
    with aws_clients.told():
        try:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(execution_role.TRUST))
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityAlreadyExists":
                raise
        iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(document))
        return str(iam.get_role(RoleName=name)["Role"]["Arn"])
