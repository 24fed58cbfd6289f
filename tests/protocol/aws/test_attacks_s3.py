# ruff: noqa: ARG001 - what `made` makes is there by being asked for
"""Somebody with a right to a small thing of their bucket asks S3 so that it does a larger one."""

from __future__ import annotations

import pytest

from protocol.aws.test_attacks import REFUSED, sent
from protocol.aws.world import allow


@pytest.mark.parametrize(
    ("action", "method", "query"),
    [
        ("GetBucketLocation", "GET", "location"),
        ("GetBucketVersioning", "GET", "versioning"),
        ("PutBucketVersioning", "PUT", "versioning"),
        ("PutBucketVersioning", "PUT", "versioning="),
        ("DeleteBucketPolicy", "DELETE", "policy"),
    ],
)
def test_a_right_to_the_bucket_is_none_to_its_objects(world, made, action, method, query):
    status, told = sent(world, world.user(allow(f"s3:{action}")), method, f"/theirs/k?{query}", body=b"")
    assert status in REFUSED
    found = world.client("s3", made["root"]).get_object(Bucket="theirs", Key="k")
    assert found["Body"].read() == b"theirs" not in told


@pytest.mark.parametrize(
    ("action", "query"),
    [
        ("GetBucketLocation", "location&list-type=2"),
        ("GetBucketRequestPayment", "requestPayment"),
        ("GetMetricsConfiguration", "metrics"),
        ("ListMultipartUploadParts", "uploadId=x"),
    ],
)
def test_a_right_to_a_setting_is_none_to_the_list(world, made, action, query):
    status, told = sent(world, world.user(allow(f"s3:{action}")), "GET", f"/theirs?{query}")
    assert status in REFUSED
    assert b"ListBucketResult" not in told


@pytest.mark.parametrize(
    ("action", "query"), [("AbortMultipartUpload", "uploadId=x"), ("PutMetricsConfiguration", "metrics")]
)
def test_a_right_to_something_else_deletes_no_bucket(world, made, action, query):
    s3 = world.client("s3", made["root"])
    s3.create_bucket(Bucket="victim")
    try:
        assert sent(world, world.user(allow(f"s3:{action}")), "DELETE", f"/victim?{query}")[0] in REFUSED
    finally:
        s3.delete_bucket(Bucket="victim")


def test_a_bucket_may_begin_like_a_reserved_word(world, made):
    s3 = world.client("s3", made["root"])
    for name in ("health-data", "environments-prod"):
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=b"x")
        s3.delete_object(Bucket=name, Key="k")
        s3.delete_bucket(Bucket=name)
