"""What a request asks for is read in one way, or not at all."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.aws import operations, passing, s3
from aerodrome.api.aws.requested import BEYOND, Head, UnclearError, parsed


def head(method="GET", path="/", query="", **headers) -> Head:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Head(method=method, path=path, query=parsed(query), headers=named)


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
    except UnclearError:
        pass


def json_head(target: str, **more) -> Head:
    return head("POST", "/", x_amz_target=target, content_type="application/x-amz-json-1.1", **more)


def asked_of(service: str, target: str, **body):
    given = json.dumps(body).encode()
    return needs(operations.requested(service, json_head(target), given, region="r", account="0" * 12))


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
