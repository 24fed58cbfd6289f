"""Amazon resource names of environments: made and read in one place."""

from __future__ import annotations

import re

ENVIRONMENT_ARN = re.compile(
    r"arn:(?P<partition>aws(-[a-z]+)*):airflow:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):environment/(?P<name>.+)"
)


def partition(region: str) -> str:
    """The partition that a region belongs to, as AWS names it."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def environment(*, region: str, account: str, name: str) -> str:
    """The ARN of the environment `name`."""
    return f"arn:{partition(region)}:airflow:{region}:{account}:environment/{name}"


def airflow_role(*, region: str, account: str, environment: str, role: str) -> str:
    """The ARN of an Airflow role in an environment: the resource of CreateWebLoginToken and InvokeRestApi."""
    return f"arn:{partition(region)}:airflow:{region}:{account}:role/{environment}/{role}"


def service_role(*, region: str, account: str) -> str:
    """The ARN of the service-linked role that MWAA reports with every environment."""
    path = "aws-service-role/airflow.amazonaws.com/AWSServiceRoleForAmazonMWAA"
    return f"arn:{partition(region)}:iam::{account}:role/{path}"


def log_group(*, region: str, account: str, group: str) -> str:
    """The ARN of a CloudWatch log group, in the form that GetEnvironment returns."""
    return f"arn:{partition(region)}:logs:{region}:{account}:log-group:{group}:*"


def root(*, region: str, account: str) -> str:
    """The ARN of the account's root user, its owner."""
    return f"arn:{partition(region)}:iam::{account}:root"


def environment_name(arn: str) -> str | None:
    """The name within an environment's ARN; None when it is not one."""
    match = ENVIRONMENT_ARN.fullmatch(arn)
    return match["name"] if match else None


def bucket_name(arn: str) -> str:
    """The bucket within an S3 bucket ARN that was validated before."""
    return arn.rpartition(":")[2]
