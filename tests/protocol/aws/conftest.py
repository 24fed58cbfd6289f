from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

from protocol.aws.world import ADMINISTRATOR, World, opened


@pytest.fixture(scope="session")
def world(until_unit_ends: ExitStack) -> World:
    return until_unit_ends.enter_context(opened())


@pytest.fixture(scope="session")
def made(world: World) -> dict[str, Any]:
    """What an administrator has made for the cases."""
    root = world.user(ADMINISTRATOR)

    def c(service: str) -> Any:
        return world.client(service, root)

    s3 = c("s3")
    for bucket in ("mine", "theirs"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_public_access_block(Bucket="mine", PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    version = s3.put_object(Bucket="mine", Key="k", Body=b"old")["VersionId"]
    s3.put_object(Bucket="theirs", Key="k", Body=b"theirs")
    c("logs").create_log_group(logGroupName="mine")
    c("logs").create_log_stream(logGroupName="mine", logStreamName="s")
    key = c("kms").create_key()["KeyMetadata"]["KeyId"]
    c("kms").create_alias(AliasName="alias/mine", TargetKeyId=key)
    id_ = [{"AttributeName": "id", "AttributeType": "S"}]
    c("dynamodb").create_table(
        TableName="mine", AttributeDefinitions=id_, KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )  # fmt: skip
    c("kinesis").create_stream(StreamName="mine", ShardCount=1)
    c("ssm").put_parameter(Name="/mine/q", Value="v", Type="String")
    c("glue").create_database(DatabaseInput={"Name": "lake"})
    c("sns").create_topic(Name="mine")
    return {
        "root": root,
        "version": version,
        "queue": c("sqs").create_queue(QueueName="mine")["QueueUrl"],
        "their_queue": c("sqs").create_queue(QueueName="theirs")["QueueUrl"],
        "secret": c("secretsmanager").create_secret(Name="mine", SecretString="x")["ARN"],
        "key": key,
        "ciphertext": c("kms").encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"],
        "now": int(time.time() * 1000),
    }
