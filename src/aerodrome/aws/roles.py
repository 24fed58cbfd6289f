"""The temporary credentials of an environment's execution role, from STS at the configured endpoint.

The sidecar asks here and hands them to the units; nothing is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aerodrome import errors
from aerodrome.aws.credentials import Credentials

SESSION_NAME = "AmazonMWAA-airflow"
"""The session name that MWAA itself uses, seen in CloudTrail."""

DURATION = 3600
"""Seconds: the longest that every role allows."""

REFUSALS = frozenset(
    {"AccessDenied", "AccessDeniedException", "NoSuchEntity", "ValidationError", "MalformedPolicyDocument"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCredentials:
    """Credentials that end."""

    credentials: Credentials
    expires: datetime
    """Aware, in UTC."""


def assume(sts: Any, role_arn: str, *, session_name: str = SESSION_NAME, duration: int = DURATION) -> RoleCredentials:
    """Take on the role for `duration` seconds.

    Raises:
        CallerError: the role is not there, or does not let us.
        RetryError: the endpoint does not answer, or cannot now.
    """
    try:
        answer = sts.assume_role(RoleArn=role_arn, RoleSessionName=session_name, DurationSeconds=duration)
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in REFUSALS:
            raise errors.CallerError(
                f"ExecutionRoleArn: Failed to assume role {role_arn}. This could be due to the role's trust policy. "
                "Please ensure your role is assumable by 'airflow-env.amazonaws.com' Service Principal and try again."
            ) from error
        raise errors.RetryError(f"STS cannot give credentials of {role_arn} now ({code})", delay=5.0) from error
    except BotoCoreError as error:
        raise errors.RetryError(f"STS does not answer: {error}", delay=5.0) from error
    given = answer["Credentials"]
    return RoleCredentials(
        credentials=Credentials(
            access_key_id=given["AccessKeyId"],
            secret_access_key=given["SecretAccessKey"],
            session_token=given["SessionToken"],
        ),
        expires=given["Expiration"].astimezone(UTC),
    )
