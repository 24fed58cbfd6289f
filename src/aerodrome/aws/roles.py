"""Temporary credentials of a role, for work that ends within an hour.

Builds and preflight checks ask here, once for each piece of work. The sidecar renews its credentials, and asks STS
without boto3, which would cost the sidecar of every environment 11 MB of memory.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from aerodrome import errors
from aerodrome.aws import buckets, clients
from aerodrome.aws.clients import Endpoint
from aerodrome.aws.credentials import Credentials

CODE = "EXECUTION_ROLE_DENIED"


def assume(sts: Endpoint, role_arn: str, session_name: str) -> Credentials:
    """Credentials of the role, for an hour.

    Raises:
        BrokenError: STS denies the role. RetryError: it does not answer.
    """
    try:
        answer = clients.client(sts, "sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)
    except ClientError as error:
        told = error.response.get("Error", {})
        if str(told.get("Code", "")) not in buckets.DENIED:
            raise errors.RetryError(f"STS cannot answer about {role_arn} now: {error}", delay=5.0) from error
        message = f"The execution role {role_arn} cannot be assumed: {told.get('Message') or told.get('Code')}"
        raise errors.BrokenError(message, code=CODE) from None
    except BotoCoreError as error:
        raise errors.RetryError(f"STS does not answer: {error}", delay=5.0) from error
    found = answer["Credentials"]
    return Credentials(
        access_key_id=found["AccessKeyId"],
        secret_access_key=found["SecretAccessKey"],
        session_token=found["SessionToken"],
    )
