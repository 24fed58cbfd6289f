"""Execution roles: the policies that MWAA's user guide gives one, and whether MWAA may assume it.

The latter is checked before an environment is created, as MWAA checks it, where IAM is ours. Pure but for the store
behind the authorizer.
"""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.policy.patterns import Context
from aerodrome.model.principals import Principal, PrincipalKind

SERVICES = ("airflow-env.amazonaws.com", "airflow.amazonaws.com")
"""The service names by which a role's trust policy may name MWAA; one of them suffices."""

ACTION = "sts:AssumeRole"


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}
"""Lets MWAA's two service principals assume the role."""


def standard_policy(environment: str, bucket: str, *, region: str, account: str) -> dict[str, Any]:
    """The rights that MWAA's user guide gives an execution role, for this bucket and the service's own key. Pure."""
    bucket_arn = f"arn:aws:s3:::{bucket}"
    of_bucket = [bucket_arn, f"{bucket_arn}/*"]
    log_groups = f"arn:aws:logs:{region}:{account}:log-group:airflow-{environment}-*"
    logs = (
        "CreateLogStream CreateLogGroup PutLogEvents GetLogEvents GetLogRecord GetLogGroupFields GetQueryResults "
        "DescribeLogStreams"
    )
    queues = "ChangeMessageVisibility DeleteMessage GetQueueAttributes GetQueueUrl ReceiveMessage SendMessage"
    allowed: list[tuple[list[str], list[str]]] = [
        (["airflow:PublishMetrics"], [f"arn:aws:airflow:{region}:{account}:environment/{environment}"]),
        (["s3:GetObject*", "s3:GetBucket*", "s3:List*"], of_bucket),
        ([f"logs:{each}" for each in logs.split()], [log_groups]),
        (["logs:DescribeLogGroups"], ["*"]),
        (["s3:GetAccountPublicAccessBlock"], ["*"]),
        (["cloudwatch:PutMetricData"], ["*"]),
        ([f"sqs:{each}" for each in queues.split()], [f"arn:aws:sqs:{region}:*:airflow-celery-*"]),
    ]  # fmt: skip
    key = {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:Encrypt"],
        "NotResource": f"arn:aws:kms:*:{account}:key/*",
        "Condition": {"StringLike": {"kms:ViaService": [f"sqs.{region}.amazonaws.com"]}},
    }
    statements = [{"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in allowed]
    return {"Version": "2012-10-17", "Statement": [*statements, key]}


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
