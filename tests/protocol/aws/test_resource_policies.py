# ruff: noqa: ARG001, ARG005, S310 - what `made` makes is there by being asked for; the URL is the door's
"""Policies of buckets, queues, topics, keys and secrets count beside those of the caller."""

from __future__ import annotations

import json
import urllib.request
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError

from protocol.aws.cases import QUEUE, TOPIC
from protocol.aws.world import ADMINISTRATOR, allow


def document(*statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def root(world, made):
    return lambda service: world.client(service, made["root"])


@pytest.fixture
def bucket(root):
    s3 = root("s3")
    s3.create_bucket(Bucket="guarded")
    s3.put_object(Bucket="guarded", Key="k", Body=b"x")
    yield lambda *statements: s3.put_bucket_policy(Bucket="guarded", Policy=document(*statements))
    s3.delete_bucket_policy(Bucket="guarded")
    s3.delete_object(Bucket="guarded", Key="k")
    s3.delete_bucket(Bucket="guarded")


def arn_of(world, key) -> str:
    return str(world.identity.keys[key.access_key_id].principal.arn)


def test_a_bucket_s_policy_lets_in_who_has_no_rights_at_once(world, bucket):
    key = world.user()
    s3 = world.client("s3", key)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="guarded", Key="k")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::guarded/*"}
    bucket({**statement, "Principal": {"AWS": arn_of(world, key)}})
    assert s3.get_object(Bucket="guarded", Key="k")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="guarded", Key="k", Body=b"y")
    bucket({**statement, "Principal": {"AWS": "arn:aws:iam::000000000000:user/somebody"}})
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket="guarded", Key="k")


def deny(action: str, *resources: str, **more) -> dict:
    return {"Effect": "Deny", "Action": action, "Resource": list(resources), **more}


def test_a_list_of_everything_is_denied_by_the_arn_of_all_and_not_by_that_of_one(world, bucket):
    execution_role = deny("s3:ListAllMyBuckets", "arn:aws:s3:::guarded", "arn:aws:s3:::guarded/*")  # as MWAA gives it
    tagged = deny("sqs:*", "*", Condition={"StringEquals": {"aws:ResourceTag/team": "x"}})
    able = world.user(allow("s3:ListAllMyBuckets"), allow("sqs:ListQueues"), execution_role, tagged)
    world.client("s3", able).list_buckets()
    world.client("sqs", able).list_queues()
    all_denied = deny("s3:*", "arn:aws:s3:::*"), deny("sqs:*", "arn:aws:sqs:*:*:*")
    unable = world.user(allow("s3:*"), allow("sqs:*"), *all_denied)
    for call in (world.client("s3", unable).list_buckets, world.client("sqs", unable).list_queues):
        with pytest.raises(ClientError, match="explicit deny"):
            call()


def test_a_deny_of_a_bucket_counts_against_administrators(world, made, bucket, root):
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::guarded/*"}
    bucket(deny)
    with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
        root("s3").get_object(Bucket="guarded", Key="k")


def test_a_policy_that_names_the_account_leaves_it_to_iam(world, bucket):
    bucket({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "s3:*",
            "Resource": "arn:aws:s3:::guarded/*"})  # fmt: skip
    with pytest.raises(ClientError, match="AccessDenied"):
        world.client("s3", world.user()).get_object(Bucket="guarded", Key="k")
    allowed = world.user(allow("s3:GetObject", "arn:aws:s3:::guarded/*"))
    world.client("s3", allowed).get_object(Bucket="guarded", Key="k")


def fetched(world) -> int:
    try:
        with urllib.request.urlopen(f"{world.url}/guarded/k") as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_nobody_is_let_in_but_by_a_public_policy_that_is_not_blocked(world, bucket, root):
    assert fetched(world) == 403
    public = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::guarded/*"}
    bucket(public)
    assert fetched(world) == 200
    root("s3").put_public_access_block(Bucket="guarded", PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    assert fetched(world) == 403
    root("s3").put_public_access_block(Bucket="guarded", PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket(public)
    root("s3").delete_public_access_block(Bucket="guarded")


def test_a_queue_s_and_a_topic_s_policy(world, made, root):
    key = world.user()
    allowing = {
        "Effect": "Allow",
        "Principal": {"AWS": arn_of(world, key)},
        "Action": ["sqs:SendMessage", "sns:Publish"],
    }
    sqs, sns = world.client("sqs", key), world.client("sns", key)
    for call in (
        lambda: sqs.send_message(QueueUrl=made["queue"], MessageBody="x"),
        lambda: sns.publish(TopicArn=TOPIC, Message="x"),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            call()
    root("sqs").set_queue_attributes(
        QueueUrl=made["queue"],
        Attributes={"Policy": document({**allowing, "Action": "sqs:SendMessage", "Resource": QUEUE})},
    )
    root("sns").set_topic_attributes(
        TopicArn=TOPIC,
        AttributeName="Policy",
        AttributeValue=document({**allowing, "Action": "sns:Publish", "Resource": TOPIC}),
    )
    sqs.send_message(QueueUrl=made["queue"], MessageBody="x")
    sns.publish(TopicArn=TOPIC, Message="x")
    root("sqs").set_queue_attributes(QueueUrl=made["queue"], Attributes={"Policy": ""})


def test_a_key_s_policy_must_name_who_asks_or_the_account(world, made, root):
    kms = root("kms")
    owner = world.user(ADMINISTRATOR)
    statement = {"Effect": "Allow", "Principal": {"AWS": arn_of(world, owner)}, "Action": "kms:*", "Resource": "*"}
    account = {**statement, "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "kms:PutKeyPolicy"}
    key = kms.create_key(Policy=document(statement, account))["KeyMetadata"]["KeyId"]
    world.client("kms", owner).encrypt(KeyId=key, Plaintext=b"x")
    with pytest.raises(ClientError, match="no resource-based policy allows"):
        world.client("kms", world.user(allow("kms:*"))).encrypt(KeyId=key, Plaintext=b"x")


def test_a_secret_s_policy(world, made, root):
    key = world.user()
    secrets = world.client("secretsmanager", key)
    with pytest.raises(ClientError, match="not authorized"):
        secrets.get_secret_value(SecretId="mine")
    allowing = {"Effect": "Allow", "Principal": {"AWS": arn_of(world, key)}, "Action": "secretsmanager:GetSecretValue",
                "Resource": "*"}  # fmt: skip
    root("secretsmanager").put_resource_policy(SecretId="mine", ResourcePolicy=document(allowing))
    secrets.get_secret_value(SecretId="mine")
    root("secretsmanager").delete_resource_policy(SecretId="mine")


NO_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps", "Principal": "*", "Action": "s3:*"}]}'


@pytest.mark.parametrize(
    ("service", "code", "put"),
    [
        ("s3", "MalformedPolicy", lambda c, made, text: c.put_bucket_policy(Bucket="mine", Policy=text)),
        ("sqs", "InvalidAttributeValue",
         lambda c, made, text: c.set_queue_attributes(QueueUrl=made["queue"], Attributes={"Policy": text})),
        ("sqs", "InvalidAttributeValue",
         lambda c, made, text: c.create_queue(QueueName="no-policy", Attributes={"Policy": text})),
        ("sns", "InvalidParameter",
         lambda c, made, text: c.set_topic_attributes(
             TopicArn=TOPIC, AttributeName="Policy", AttributeValue=text)),
        ("sns", "InvalidParameter",
         lambda c, made, text: c.create_topic(Name="no-policy", Attributes={"DisplayName": "x", "Policy": text})),
        ("kms", "MalformedPolicyDocumentException",
         lambda c, made, text: c.put_key_policy(KeyId=made["key"], PolicyName="default", Policy=text)),
        ("kms", "MalformedPolicyDocumentException", lambda c, made, text: c.create_key(Policy=text)),
        ("secretsmanager", "MalformedPolicyDocumentException",
         lambda c, made, text: c.put_resource_policy(SecretId=made["secret"], ResourcePolicy=text)),
    ],
)  # fmt: skip
def test_a_policy_that_is_none_is_not_put(world, made, root, service, code, put):
    for text in (NO_POLICY, "no JSON"):
        with pytest.raises(ClientError) as error:
            put(root(service), made, text)
        assert error.value.response["Error"]["Code"].endswith(code)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_policy_is_put_in_the_place_of_another(world, made, root):
    text = document({"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*",
                     "Condition": {"StringEquals": {"aws:SourceIp": "10.0.0.1"}}})  # fmt: skip
    sqs = root("sqs")
    sqs.set_queue_attributes(QueueUrl=made["queue"], Attributes={"Policy": text})
    sqs.set_queue_attributes(QueueUrl=made["queue"], Attributes={"Policy": ""})
