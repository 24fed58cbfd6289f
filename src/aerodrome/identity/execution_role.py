"""Whether MWAA may assume an execution role: checked before an environment is created, as MWAA checks it.

Only where IAM is ours; pure but for the store behind the authorizer.
"""

from __future__ import annotations

from aerodrome.errors import CallerError
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.policy.patterns import Context
from aerodrome.model.principals import Principal, PrincipalKind

SERVICES = ("airflow-env.amazonaws.com", "airflow.amazonaws.com")
"""The service names by which a role's trust policy may name MWAA; one of them suffices."""

ACTION = "sts:AssumeRole"


def on_behalf_of(environment_arn: str, account: str) -> Context:
    """The condition keys by which a trust policy says for which environments MWAA may assume the role."""
    return {"aws:sourcearn": (environment_arn,), "aws:sourceaccount": (account,)}


def check(authorizer: Authorizer, role_arn: str, *, account: str, context: Context) -> None:
    """Raise CallerError, in MWAA's words, when the role does not exist or does not trust MWAA."""
    for name in SERVICES:
        service = Principal(kind=PrincipalKind.SERVICE, account=account, arn=name, unique_id=name, name=name)
        if authorizer.may_assume(service, role_arn, ACTION, context).allowed:
            return
    raise CallerError(
        f"ExecutionRoleArn: Failed to assume role {role_arn}. This could be due to the role's trust policy. "
        f"Please ensure your role is assumable by '{SERVICES[0]}' Service Principal and try again."
    )
