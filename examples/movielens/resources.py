"""What an environment needs before it can be created: a bucket, an execution role, the DAG and a Glue database.

Plain boto3, as against AWS. Everything is made only where it is missing, so that running it again is safe.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

DAG_FILE = Path(__file__).with_name("dags") / "movielens.py"

LANDING = "files/"
"""The folder whose existence the pipeline waits for; S3 knows folders only as keys that end in a slash."""

TRUST_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}
"""Lets MWAA's two service principals take on the role (MWAA user guide, execution role)."""

BLOCK_PUBLIC_ACCESS = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)


def bucket(name: str) -> str:
    """Make the bucket as MWAA wants it: versioned, closed to the public. Gives its ARN."""
    s3 = boto3.client("s3")
    region = s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    _unless("BucketAlreadyOwnedByYou", lambda: s3.create_bucket(Bucket=name, **place))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=BLOCK_PUBLIC_ACCESS)
    s3.put_object(Bucket=name, Key=LANDING)
    return f"arn:aws:s3:::{name}"


def upload_dag(bucket_name: str) -> str:
    """Put the DAG file where the environment looks for DAGs; gives its S3 URL."""
    key = f"dags/{DAG_FILE.name}"
    boto3.client("s3").put_object(Bucket=bucket_name, Key=key, Body=DAG_FILE.read_bytes())
    return f"s3://{bucket_name}/{key}"


def glue_database(name: str) -> None:
    """Make the database that Athena's tables live in."""
    glue = boto3.client("glue")
    _unless("AlreadyExistsException", lambda: glue.create_database(DatabaseInput={"Name": name}))


def execution_role(name: str, bucket_name: str) -> str:
    """Make the role that the pipeline's tasks act as; gives its ARN."""
    iam = boto3.client("iam")
    trust = json.dumps(TRUST_POLICY)
    _unless("EntityAlreadyExists", lambda: iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust))
    iam.put_role_policy(RoleName=name, PolicyName="movielens", PolicyDocument=json.dumps(role_policy(bucket_name)))
    return str(iam.get_role(RoleName=name)["Role"]["Arn"])


def role_policy(bucket_name: str) -> dict[str, Any]:
    """State what the pipeline may do: use its bucket, ask Athena, keep tables in Glue, and write its logs."""
    allowed = {
        "s3:*": [f"arn:aws:s3:::{bucket_name}", f"arn:aws:s3:::{bucket_name}/*"],
        "athena:*": ["*"],
        "glue:*": ["*"],
        "logs:*": ["arn:aws:logs:*:*:log-group:airflow-*"],
    }
    statements = [{"Effect": "Allow", "Action": action, "Resource": where} for action, where in allowed.items()]
    return {"Version": "2012-10-17", "Statement": statements}


def _unless(already: str, make: Callable[[], object]) -> None:
    """Make something, unless the service answers that it exists `already` (an error code)."""
    try:
        make()
    except ClientError as error:
        if error.response["Error"]["Code"] != already:
            raise
