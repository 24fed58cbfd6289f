# ruff: noqa: ARG001, ARG005, E501 - what `made` makes is there by being asked for
"""Conditions count the tags of resources and those of requests; where tags cannot be looked up, no Allow counts."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from protocol.aws.world import allow

TEAM = {"Key": "team", "Value": "data"}


@pytest.fixture(scope="module")
def tagged(world, made):
    """ARNs and names of things of two teams."""
    root = made["root"]
    found = {}
    for team in ("data", "web"):
        s3, sqs, sns = (world.client(each, root) for each in ("s3", "sqs", "sns"))
        s3.put_object(Bucket="mine", Key=f"tagged-{team}", Body=b"x", Tagging=f"team={team}")
        found[f"sqs {team}"] = sqs.create_queue(QueueName=f"tagged-{team}", tags={"team": team})["QueueUrl"]
        topic = sns.create_topic(Name=f"tagged-{team}", Tags=[{"Key": "team", "Value": team}])
        found[f"sns {team}"] = topic["TopicArn"]
        secret = world.client("secretsmanager", root).create_secret(
            Name=f"tagged-{team}", SecretString="x", Tags=[{"Key": "team", "Value": team}]
        )
        found[f"secretsmanager {team}"] = secret["ARN"]
        key = world.client("kms", root).create_key(Tags=[{"TagKey": "team", "TagValue": team}])
        found[f"kms {team}"] = key["KeyMetadata"]["KeyId"]
        world.client("logs", root).create_log_group(logGroupName=f"tagged-{team}", tags={"team": team})
    return found


ASKED = {
    "s3": ("s3:GetObject", "s3:ExistingObjectTag/team", lambda c, t, team: c.get_object(Bucket="mine", Key=f"tagged-{team}")),
    "sqs": ("sqs:ReceiveMessage", "aws:ResourceTag/team", lambda c, t, team: c.receive_message(QueueUrl=t[f"sqs {team}"])),
    "sns": ("sns:Publish", "aws:ResourceTag/team", lambda c, t, team: c.publish(TopicArn=t[f"sns {team}"], Message="x")),
    "secretsmanager": ("secretsmanager:GetSecretValue", "secretsmanager:ResourceTag/team",
                       lambda c, t, team: c.get_secret_value(SecretId=t[f"secretsmanager {team}"])),
    "kms": ("kms:Encrypt", "aws:ResourceTag/team", lambda c, t, team: c.encrypt(KeyId=t[f"kms {team}"], Plaintext=b"x")),
    "logs": ("logs:DescribeLogStreams", "aws:ResourceTag/team",
             lambda c, t, team: c.describe_log_streams(logGroupName=f"tagged-{team}")),
}  # fmt: skip


def is_allowed(call) -> bool:
    try:
        call()
    except ClientError as error:
        if "not authorized" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize("service", ASKED)
def test_tags_of_what_is_there_decide(world, tagged, service):
    action, key, call = ASKED[service]
    of_data = {**allow(action), "Condition": {"StringEquals": {key: "data"}}}
    not_of_web = {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": {"StringEquals": {key: "web"}}}
    for statements in ([of_data], [allow(action), not_of_web]):
        client = world.client(service, world.user(*statements))
        assert is_allowed(lambda c=client: call(c, tagged, "data"))
        assert not is_allowed(lambda c=client: call(c, tagged, "web"))


def test_a_tag_of_a_bucket_s_policy_decides(world, made, tagged):
    s3 = world.client("s3", made["root"])
    s3.put_bucket_tagging(Bucket="theirs", Tagging={"TagSet": [TEAM]})
    try:
        own = allow(["s3:GetObject", "s3:PutObject"])
        for value, expected in (("data", True), ("web", False)):
            statement = {**own, "Condition": {"StringEquals": {"aws:ResourceTag/team": value}}}
            client = world.client("s3", world.user(statement))
            assert is_allowed(lambda c=client: c.get_object(Bucket="theirs", Key="k")) is expected
    finally:
        s3.delete_bucket_tagging(Bucket="theirs")


def test_a_version_is_judged_by_its_own_tags(world, made):
    s3 = world.client("s3", made["root"])
    old = s3.put_object(Bucket="mine", Key="two", Body=b"old", Tagging="team=data")["VersionId"]
    new = s3.put_object(Bucket="mine", Key="two", Body=b"new", Tagging="team=web")["VersionId"]
    statement = {**allow("s3:GetObjectVersion"), "Condition": {"StringEquals": {"s3:ExistingObjectTag/team": "data"}}}
    client = world.client("s3", world.user(statement))
    assert is_allowed(lambda: client.get_object(Bucket="mine", Key="two", VersionId=old))
    assert not is_allowed(lambda: client.get_object(Bucket="mine", Key="two", VersionId=new))


def test_a_copy_is_judged_by_the_tags_of_the_version_that_it_reads(world, made):
    s3 = world.client("s3", made["root"])
    closed = s3.put_object(Bucket="mine", Key="copied", Body=b"closed", Tagging="team=web")["VersionId"]
    open_ = s3.put_object(Bucket="mine", Key="copied", Body=b"open", Tagging="team=data")["VersionId"]
    upload = s3.create_multipart_upload(Bucket="mine", Key="parts")["UploadId"]
    statement = {**allow("s3:GetObject*"), "Condition": {"StringEquals": {"s3:ExistingObjectTag/team": "data"}}}
    client = world.client("s3", world.user(statement, allow("s3:PutObject")))
    for version, expected in ((closed, False), (open_, True), (None, True)):
        source = {"Bucket": "mine", "Key": "copied"} | ({"VersionId": version} if version else {})
        to = {"Bucket": "mine", "CopySource": source}
        assert is_allowed(lambda to=to: client.copy_object(Key="copy", **to)) is expected
        part = {"Key": "parts", "UploadId": upload, "PartNumber": 1, **to}
        assert is_allowed(lambda part=part: client.upload_part_copy(**part)) is expected
    s3.abort_multipart_upload(Bucket="mine", Key="parts", UploadId=upload)


def test_of_many_deletions_each_is_judged_by_its_own_version(world, made):
    s3 = world.client("s3", made["root"])
    kept = s3.put_object(Bucket="mine", Key="many", Body=b"kept")["VersionId"]
    free = s3.put_object(Bucket="mine", Key="many", Body=b"free")["VersionId"]
    statement = {**allow("s3:DeleteObjectVersion"), "Condition": {"StringEquals": {"s3:VersionId": free}}}
    client = world.client("s3", world.user(statement))

    def delete(*versions):
        named = [{"Key": "many", "VersionId": each} for each in versions]
        return is_allowed(lambda: client.delete_objects(Bucket="mine", Delete={"Objects": named}))

    assert [delete(kept, free), delete(free, kept), delete(kept), delete(free)] == [False, False, False, True]


GIVEN = {
    "s3 header": ("s3", ["s3:PutObject", "s3:PutObjectTagging"], "s3:RequestObjectTag/team",
                  lambda c, team: c.put_object(Bucket="mine", Key="given", Body=b"x", Tagging=f"team={team}")),
    "s3 body": ("s3", "s3:PutObjectTagging", "s3:RequestObjectTag/team",
                lambda c, team: c.put_object_tagging(
                    Bucket="mine", Key="k", Tagging={"TagSet": [{"Key": "Team", "Value": team}]})),
    "s3 bucket": ("s3", "s3:PutBucketTagging", "aws:RequestTag/team",
                  lambda c, team: c.put_bucket_tagging(
                      Bucket="mine", Tagging={"TagSet": [{"Key": "team", "Value": team}]})),
    "sqs": ("sqs", ["sqs:CreateQueue", "sqs:TagQueue"], "aws:RequestTag/team",
            lambda c, team: c.create_queue(QueueName=f"given-{team}", tags={"team": team})),
    "sns": ("sns", ["sns:CreateTopic", "sns:TagResource"], "aws:RequestTag/team",
            lambda c, team: c.create_topic(Name=f"given-{team}", Tags=[{"Key": "team", "Value": team}])),
    "secretsmanager": ("secretsmanager", ["secretsmanager:CreateSecret", "secretsmanager:TagResource"],
                       "aws:RequestTag/team",
                       lambda c, team: c.create_secret(
                           Name=f"given-{team}", SecretString="x", Tags=[{"Key": "team", "Value": team}])),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN)
def test_tags_that_a_request_gives_decide(world, made, case):
    service, action, key, call = GIVEN[case]
    condition = {"StringEquals": {key: "data"}}
    client = world.client(service, world.user({**allow(action), "Condition": condition}))
    assert not is_allowed(lambda: call(client, "web"))
    assert is_allowed(lambda: call(client, "data"))


def test_the_keys_of_tags_decide(world, made):
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    client = world.client(
        "sqs", world.user(allow("sqs:CreateQueue"), {**allow("sqs:TagQueue"), "Condition": condition})
    )
    url = client.create_queue(QueueName="keys")["QueueUrl"]
    assert is_allowed(lambda: client.tag_queue(QueueUrl=url, Tags={"team": "x"}))
    assert not is_allowed(lambda: client.tag_queue(QueueUrl=url, Tags={"team": "x", "other": "x"}))


@pytest.mark.parametrize(
    ("service", "action", "condition", "call"),
    [
        ("ssm", "ssm:GetParameter", {"StringEquals": {"aws:ResourceTag/team": "web"}},
         lambda c: c.get_parameter(Name="/mine/q")),
        ("kms", "kms:ListKeys", {"StringEquals": {"kms:KeySpec": "x"}}, lambda c: c.list_keys()),
        ("dynamodb", "dynamodb:Scan", {"StringEquals": {"dynamodb:LeadingKeys": "x"}},
         lambda c: c.scan(TableName="mine")),
        ("s3", "s3:GetObject", {"StringEquals": {"s3:JobSuspendedCause": "x"}},
         lambda c: c.get_object(Bucket="mine", Key="k")),
        ("s3", "s3:GetObject", {"StringLike": {"s3:prefix": "${s3:JobSuspendedCause}"}},
         lambda c: c.get_object(Bucket="mine", Key="k")),
    ],
)  # fmt: skip
def test_a_deny_on_what_nobody_can_tell_refuses(world, made, service, action, condition, call):
    deny = {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition}
    assert is_allowed(lambda: call(world.client(service, world.user(allow(action)))))
    assert not is_allowed(lambda: call(world.client(service, world.user(allow(action), deny))))
    negated = {**allow(action), "Condition": {"StringNotEquals": next(iter(condition.values()))}}
    if "s3:prefix" not in str(condition):
        assert not is_allowed(lambda: call(world.client(service, world.user(negated))))


def test_the_region_and_the_account_are_known(world, made):
    condition = {"StringNotEquals": {"aws:RequestedRegion": "us-east-1", "aws:ResourceAccount": "1"}}
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Condition": condition}
    client = world.client("s3", world.user(allow("s3:GetObject"), deny))
    assert is_allowed(lambda: client.get_object(Bucket="mine", Key="k"))
