"""A request is read in one way, or not at all."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import bounded_json
from aerodrome.api.aws import operations, passing, readings, s3
from aerodrome.api.aws.requested import BEYOND, OnwardHead, UnclearError, UnservedError, parsed


def head(method="GET", path="/", query="", **headers) -> OnwardHead:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return OnwardHead(method=method, path=path, query=parsed(query), headers=named)


def needs(found) -> list[tuple[str, str]]:
    return [(check.action, check.resource) for check in found.checks]


@pytest.mark.parametrize(
    ("host", "path", "whole"),
    [
        ("127.0.0.1:4560", "/b/k", "/b/k"),
        ("localhost", "/b/k", "/b/k"),
        ("bucket.localhost:4560", "/k", "/bucket/k"),
        ("bucket.with.dots.localhost", "/k", "/bucket.with.dots/k"),
        ("bucket.s3.us-east-1.amazonaws.com", "/k", "/bucket/k"),
        ("s3.us-east-1.amazonaws.com", "/b/k", "/b/k"),
        ("s3.localhost", "/b/k", "/b/k"),
        ("BUCKET.localhost.", "/k", "/bucket/k"),
    ],
)
def test_the_bucket_goes_into_the_path(host, path, whole):
    assert s3.by_path(host, path) == whole


@pytest.mark.parametrize(
    "asked",
    [
        head(path="//bucket/k"),
        head(path="/Bucket/k"),
        head(path="/_ministack/reset"),
        head(path="/iceberg/v1"),
        head(path="/bucket", query="policy&acl"),
        head("PUT", "/bucket/k", x_amz_copy_source="arn:aws:s3:us-east-1:0:accesspoint/x/object/k"),
        head("PUT", "/bucket/k", x_amz_copy_source="x-s3alias/k"),
        head("PUT", "/bucket/k", x_amz_copy_source="nothing"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(asked):
    with pytest.raises(UnclearError):
        s3.requested(asked, None)


def test_a_copy_reads_its_source_wherever_that_is_named():
    for asked in (
        head("PUT", "/mine/k", x_amz_copy_source="/theirs/a%20b?versionId=v"),
        head("PUT", "/mine/k", "x-amz-copy-source=theirs/a%2520b?versionId=v"),
    ):
        assert needs(s3.requested(asked, None)) == [
            ("s3:PutObject", "arn:aws:s3:::mine/k"),
            ("s3:GetObjectVersion", "arn:aws:s3:::theirs/a b"),
        ]


def test_what_nobody_knows_and_what_acts_by_itself_needs_more():
    assert s3.requested(head("PATCH", "/mine/k"), None).checks[-1] == BEYOND
    assert s3.requested(head("PUT", "/mine", "notification"), None).checks[-1] == BEYOND
    assert s3.requested(head("GET", "/x-s3alias/k"), None).checks[-1] == BEYOND
    assert BEYOND not in s3.requested(head("PUT", "/mine/k"), None).checks


@given(path=st.text(), query=st.text(), source=st.text(), method=st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
def test_nothing_breaks_the_reader(path, query, source, method):
    try:
        asked = head(method, f"/{path}", query, x_amz_copy_source=source)
        s3.requested(asked, source.encode("utf-8", "replace"))
    except (UnclearError, UnservedError):
        pass


def json_head(target: str, **more) -> OnwardHead:
    return head("POST", "/", x_amz_target=target, content_type="application/x-amz-json-1.1", **more)


def asked_of(service: str, target: str, **body):
    given = json.dumps(body).encode()
    return needs(operations.requested(service, json_head(target), given, region="r", account="0" * 12))


def test_lists_of_everything_are_judged_by_the_arn_that_aws_judges_them_by():
    assert needs(s3.requested(head(), None)) == [("s3:ListAllMyBuckets", "arn:aws:s3:::*")]
    for service, target, action, end in (
        ("sqs", "AmazonSQS.ListQueues", "sqs:ListQueues", ""),
        ("events", "AWSEvents.ListRules", "events:ListRules", "rule/*"),
        ("states", "AWSStepFunctions.ListStateMachines", "states:ListStateMachines", "stateMachine:*"),
    ):
        assert asked_of(service, target) == [(action, f"arn:aws:{service}:r:000000000000:{end}")]
    assert asked_of("kms", "TrentService.ListKeys") == [("kms:ListKeys", "*")]


def test_tags_of_a_log_group_are_judged_on_the_group_however_its_arn_is_written():
    arn = "arn:aws:logs:r:000000000000:log-group:g"
    for written in (arn, f"{arn}:*", "arn:aws:logs:elsewhere:1:log-group:g"):
        assert asked_of("logs", "Logs_20140328.TagResource", resourceArn=written) == [("logs:TagResource", arn)]
    for unclear in (f"{arn}*", "*", "arn:aws:logs:r:000000000000:destination:*"):
        assert asked_of("logs", "Logs_20140328.TagResource", resourceArn=unclear) == [("logs:TagResource", "*")]


def test_a_log_group_is_named_once_and_with_its_stream():
    arn = "arn:aws:logs:r:000000000000:log-group:g:log-stream:s"
    assert asked_of("logs", "Logs_20140328.PutLogEvents", logGroupName="g", logStreamName="s") == [
        ("logs:PutLogEvents", arn)
    ]
    by_arn = "arn:aws:logs:r:000000000000:log-group:g:*"
    found = asked_of("logs", "Logs_20140328.GetLogEvents", logGroupIdentifier=by_arn, logStreamName="s")
    assert found == [("logs:GetLogEvents", arn)]
    with pytest.raises(UnclearError):
        asked_of("logs", "Logs_20140328.GetLogEvents", logGroupName="a", logGroupIdentifier="b")


def test_a_request_reaches_the_service_that_it_is_signed_for():
    assert operations.service_of(json_head("AmazonSQS.ListQueues"), "sqs") == "sqs"
    for scope in ("s3", "logs", "iam", "lambda", "redshift-data"):
        with pytest.raises(UnclearError):
            operations.service_of(json_head("AmazonSQS.ListQueues"), scope)


FORM = "application/x-www-form-urlencoded"


def asked_by(service: str, asked: OnwardHead, body: bytes = b""):
    return needs(operations.requested(service, asked, body, region="r", account="0" * 12))


@pytest.mark.parametrize(
    ("service", "asked", "body"),
    [
        ("sqs", head("POST", "/", "Action=ListQueues", content_type="text/plain"), b"Action=SendMessage"),
        ("sqs", head("POST", "/", "Action=ListQueues"), b"Action=SendMessage"),
        ("sqs", head("POST", "/", "Action=ListQueues", content_type=FORM), b"Action=SendMessage"),
        ("sqs", head("GET", "/", "Action=ListQueues", content_type=FORM), b"QueueUrl=x"),
        ("sqs", head("GET", "/", "Action=ListQueues&Action=PurgeQueue"), b""),
        ("sns", head("POST", "/", x_amz_target="AmazonSNS.ListTopics"), b"Action=DeleteTopic"),
        ("sns", head("POST", "/", x_amz_target="x.ListTopics", content_type=FORM), b"Action=DeleteTopic"),
        ("ec2", head("POST", "/", "Action=DescribeRegions", content_type="text/plain"), b"Action=CreateVpc"),
        ("sqs", head("POST", "/", x_amz_target="AmazonSQS.ListQueues", connection="x-amz-target"), b"{}"),
        ("monitoring", head("POST", "/service/X/operation/ListMetrics", content_type="text/plain"), b"Action=x"),
        ("monitoring", head("POST", "/", x_amz_target="x.ListMetrics", content_type="text/plain"), b"Action=x"),
        ("scheduler", head("POST", "/schedules/evil", "Action=ListSchedules"), b"{}"),
        ("scheduler", head("POST", "/schedules/evil", x_amz_target="x.ListSchedules"), b"{}"),
        ("scheduler", head("DELETE", "/schedules/s", "groupName=a&groupName=b"), b""),
        ("scheduler", head("PUT", "/schedules/s", "groupName=a"), b'{"GroupName": "b"}'),
        ("ses", head("POST", "/v2/email/identities", "Action=GetSendQuota"), b"{}"),
        ("sns", head("POST", "/", content_type=FORM), b"Action=Publish&TopicArn=a&SubscriptionArn=b:c"),
        ("sns", head("POST", "/", content_type=FORM), b"Action=Publish&TopicArn=a&ResourceArn=b"),
        ("ssm", json_head("AmazonSSM.GetParameters"), b'{"Name": "/mine", "Names": ["/theirs"]}'),
        ("ssm", json_head("AmazonSSM.GetParameters", connection="content-type"), b"{}"),
        ("ssm", json_head("x.GetParameters"), b"{}"),
        ("ssm", head("POST", "/", "Name=x", x_amz_target="AmazonSSM.GetParameter"), b"{}"),
        ("ssm", json_head("AmazonSSM.GetParameter"), b"Name=x"),
        ("dynamodb", json_head("DynamoDB_20120810.BatchGetItem"), b'{"TableName": "a", "RequestItems": {}}'),
        ("glue", json_head("AWSGlue.GetConnection"), b'{"ConnectionName": "mine", "Name": "theirs"}'),
        ("kinesis", json_head("Kinesis_20131202.PutRecord"), b'{"ResourceARN": "a", "StreamName": "theirs"}'),
        ("athena", json_head("AmazonAthena.GetQueryResults"), b'{"QueryExecutionId": "x", "WorkGroup": "mine"}'),
        ("events", json_head("AWSEvents.DeleteRule"), b'{"Name": "x", "Entries": [{"EventBusName": "mine"}]}'),
        ("kms", json_head("TrentService.UpdateAlias"), b'{"KeyId": "a", "AliasName": "alias/x", "TargetKeyId": "a"}'),
        ("secretsmanager", json_head("secretsmanager.BatchGetSecretValue"), b'{"SecretId": "mine", "Filters": []}'),
        ("sqs", json_head("AmazonSQS.PurgeQueue"), b'{"QueueUrl": "http://x/111111111111/theirs"}'),
        ("sqs", json_head("AmazonSQS.PurgeQueue"), b'{"QueueUrl": "http://x/000000000000/a?/000000000000/b?"}'),
    ],
)
def test_no_decoy_tells_another_operation_or_resource(service, asked, body):
    with pytest.raises(UnclearError):
        asked_by(service, asked, body)


ARN = "arn:aws:{}:r:000000000000:{}".format


@pytest.mark.parametrize(
    ("target", "body", "resources"),
    [
        ("ssm AmazonSSM.GetParameters", {"Names": ["/a", "b"]}, [ARN("ssm", "parameter/a"), ARN("ssm", "parameter/b")]),
        ("ssm AmazonSSM.GetParametersByPath", {"Path": "/"}, [ARN("ssm", "parameter/")]),
        ("ssm AmazonSSM.DescribeParameters", {}, [ARN("ssm", "*")]),
        ("kinesis Kinesis_20131202.PutRecord", {"StreamARN": ARN("kinesis", "stream/a"), "StreamName": "b"},
         [ARN("kinesis", "stream/a"), ARN("kinesis", "stream/b")]),
        ("dynamodb DynamoDB_20120810.BatchGetItem", {"RequestItems": {"a": {}, "b": {}}},
         [ARN("dynamodb", "table/a"), ARN("dynamodb", "table/b")]),
        ("dynamodb DynamoDB_20120810.TagResource", {"ResourceArn": ARN("dynamodb", "table/a"), "Tags": []},
         [ARN("dynamodb", "table/a")]),
        ("dynamodb DynamoDB_20120810.RestoreTableToPointInTime", {"SourceTableName": "a", "TargetTableName": "b"},
         [ARN("dynamodb", "table/a"), ARN("dynamodb", "table/b")]),
        ("dynamodb DynamoDB_20120810.ListTables", {}, [ARN("dynamodb", "table/*")]),
        ("glue AWSGlue.UpdateTable", {"DatabaseName": "d", "Name": "a", "TableInput": {"Name": "b"}},
         [ARN("glue", "table/d/a"), ARN("glue", "table/d/b")]),
        ("glue AWSGlue.GetTable", {"DatabaseName": "d", "Name": "b"}, [ARN("glue", "table/d/b")]),
        ("glue AWSGlue.UpdateConnection", {"Name": "a", "ConnectionInput": {"Name": "b"}},
         [ARN("glue", "connection/a"), ARN("glue", "connection/b")]),
        ("glue AWSGlue.SearchTables", {}, ["*"]),
        ("athena AmazonAthena.GetQueryResults", {"QueryExecutionId": "x"}, ["*"]),
        ("events AWSEvents.DeleteRule", {"Name": "a"}, [ARN("events", "rule/a")]),
        ("events AWSEvents.DisableRule", {"Name": "a", "EventBusName": "b"}, [ARN("events", "rule/b/a")]),
        ("events AWSEvents.DeleteEventBus", {"Name": "b"}, [ARN("events", "event-bus/b")]),
        ("kms TrentService.UpdateAlias", {"AliasName": "alias/a", "TargetKeyId": "k"},
         [ARN("kms", "alias/a"), ARN("kms", "key/k"), ARN("kms", "alias/a")]),
        ("kms TrentService.CreateAlias", {"AliasName": "alias/a", "TargetKeyId": "k"},
         [ARN("kms", "alias/a"), ARN("kms", "key/k")]),
        ("sqs AmazonSQS.GetQueueUrl", {"QueueName": "a"}, [ARN("sqs", "a")]),
        ("sqs AmazonSQS.SendMessage", {"QueueUrl": "http://h/000000000000/a"}, [ARN("sqs", "a")]),
        ("logs Logs_20140328.GetQueryResults", {"queryId": "x"}, ["*"]),
        ("monitoring GraniteServiceVersion20100801.DeleteAlarms", {"AlarmNames": ["a"]},
         [ARN("cloudwatch", "alarm:a")]),
        ("monitoring GraniteServiceVersion20100801.PutMetricAlarm",
         {"AlarmName": "a", "AlarmActions": [ARN("sns", "t")], "OKActions": [ARN("sns", "*")]},
         [ARN("cloudwatch", "alarm:a"), ARN("sns", "t"), "*"]),
        ("monitoring GraniteServiceVersion20100801.DeleteDashboards", {"DashboardNames": ["a"]},
         [f"arn:aws:cloudwatch::{'0' * 12}:dashboard/a"]),
        ("states AWSStepFunctions.StopExecution", {"executionArn": ARN("states", "execution:a:b")},
         [ARN("states", "execution:a:b")]),
        ("firehose Firehose_20150804.PutRecord", {"DeliveryStreamName": "a", "Record": {}},
         [ARN("firehose", "deliverystream/a")]),
    ],
)  # fmt: skip
def test_every_resource_that_is_named_is_asked_for(target, body, resources):
    service, _, target = target.partition(" ")
    assert [resource for _, resource in asked_of(service, target, **body)] == resources


def test_many_secrets_need_what_one_needs():
    arn = ARN("secretsmanager", "secret:a")
    assert asked_of("secretsmanager", "secretsmanager.BatchGetSecretValue", SecretIdList=["a"]) == [
        ("secretsmanager:BatchGetSecretValue", arn), ("secretsmanager:GetSecretValue", arn)
    ]  # fmt: skip
    found = asked_of("secretsmanager", "secretsmanager.BatchGetSecretValue", Filters=[{"Key": "name"}])
    assert {resource for _, resource in found} == {"*"}
    assert ("secretsmanager:ListSecrets", "*") in found


def test_a_schedule_is_in_its_group():
    by_query = asked_by("scheduler", head("DELETE", "/schedules/s", "groupName=g"))
    assert by_query == [("scheduler:DeleteSchedule", ARN("scheduler", "schedule/g/s"))]
    by_body = asked_by("scheduler", head("PUT", "/schedules/s"), b'{"GroupName": "g"}')
    assert by_body[0] == ("scheduler:UpdateSchedule", ARN("scheduler", "schedule/g/s"))


@given(
    body=st.binary(max_size=200),
    target=st.text(max_size=30),
    service=st.sampled_from(sorted(operations.rules.SERVICES)),
)
def test_no_body_breaks_the_reader(body, target, service):
    with suppress(UnclearError):
        operations.requested(service, json_head(f"x.{target}"), body, region="r", account="0" * 12)


def test_what_leads_astray_is_not_passed_on():
    found = [(b"host", b"x"), (b"authorization", b"secret"), (b"x-amz-security-token", b"t"), (b"x-amz-target", b"y"),
             (b"x-aerodrome-buckets", b"all"), (b"x-amz-acl", b"private"), (b"content-length", b"3")]  # fmt: skip
    passed = dict(passing.headers(found, service="s3", region="r", caller="C", date="d", length=None, reach=None))
    assert set(passed) == {b"host", b"authorization", b"x-amz-acl", b"content-length"}
    assert passed[b"host"] == b"localhost"
    assert b"Credential=C/d/r/s3/aws4_request" in passed[b"authorization"]
    presigned = "X-Amz-Signature=a&x-id=GetObject&X-Amz-Security-Token=t&versionId=v"
    assert passing.target("/b/a b", presigned) == "/b/a%20b?x-id=GetObject&versionId=v"


MANY = bounded_json.MOST_VALUES
PUT_ITEM = head("POST", x_amz_target="DynamoDB_20120810.PutItem")


@pytest.mark.parametrize(
    ("service", "asked", "body"),
    [
        ("dynamodb", PUT_ITEM, b'{"Item":{"a":[%s[]]}}' % (b"[]," * MANY)),
        ("dynamodb", PUT_ITEM, b'{"Item":{"a":[%s{}]}}' % (b"{}," * MANY)),
        ("sqs", head("POST", x_amz_target="AmazonSQS.SendMessage"), b'{"QueueUrl":[%s1]}' % (b"1," * MANY)),
        (
            "sns", head("POST", content_type="application/x-www-form-urlencoded"),
            b"Action=Publish&Message=" + b"%41" * (readings.MOST_ESCAPES + 1),
        ),
        ("sns", head("POST", content_type="application/x-www-form-urlencoded"), b"Action=Publish" + b"&a=b" * MANY),
    ],
)  # fmt: skip
def test_what_would_hold_up_everybody_while_it_is_read_is_refused(service, asked, body):
    with pytest.raises(UnclearError, match=r"too many|more than"):
        operations.requested(service, asked, body, region="us-east-1", account="000000000000")


def test_a_long_text_of_whatever_is_read():
    text = json.dumps({"Item": {"a": {"S": '[{,"' * MANY}}, "TableName": "t"}).encode()
    assert operations.requested("dynamodb", PUT_ITEM, text, region="us-east-1", account="000000000000").checks


@pytest.mark.parametrize(
    "asked",
    [
        head("POST", "/bucket", query="delete"), head("PUT", "/bucket", query="lifecycle"),
        head("POST", "/bucket/k", query="uploadId=1"), head("PUT", "/bucket/k", query="tagging"),
        head("PUT", "/bucket"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [b"<a/>", b"<a b='' c=\"\"/>"])
def test_a_document_of_s3_with_very_many_elements_is_refused(asked, piece):
    assert s3.is_held(asked)
    with pytest.raises(UnclearError, match="too many elements"):
        s3.requested(asked, b"<x>" + piece * s3.MOST_MARKS + b"</x>")


@pytest.mark.parametrize(
    "asked",
    [head("PUT", "/bucket/k"), head("PUT", "/bucket/k", query="uploadId=1&partNumber=1"), head("GET", "/bucket/k")],
)
def test_data_of_s3_is_passed_as_it_comes(asked):
    assert not s3.is_held(asked)
