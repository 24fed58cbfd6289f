# ruff: noqa: ARG001 - the SQL is an attack; what `made` makes is there by being asked for
"""A principal with a right to a small thing in its bucket asks S3 in a way that would do a larger one."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
from contextlib import ExitStack

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from aerodrome import clock
from aerodrome.api.aws.app import LONGEST
from protocol.aws.test_attacks import REFUSED, sent
from protocol.aws.world import REGION, allow
from waiting import wait_for


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


def test_sql_that_may_read_writes_no_object(world, made):
    s3 = world.client("s3", made["root"])
    s3.put_object(Bucket="theirs", Key="copied", Body=b"as it was\n")
    reader = world.user(
        allow("s3:GetObject", "arn:aws:s3:::theirs/*"),
        allow("s3:*", "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"),
        allow("athena:*"),
    )
    athena = world.client("athena", reader)
    file = world.folder / "objects" / "000000000000" / "theirs" / "copied"
    assert file.exists()

    def state(query: str) -> str:
        found = athena.get_query_execution(QueryExecutionId=query)
        return str(found["QueryExecution"]["Status"]["State"])

    for sql in (
        f"COPY (SELECT 'evil') TO '{file}'",
        f"COPY (SELECT 'evil') TO '{file}.py'",
        f"WITH x AS (COPY (SELECT 'evil') TO '{file}') SELECT 1",
        f"EXPLAIN ANALYZE COPY (SELECT 'evil') TO '{file}'",
        f"ATTACH '{file}.db' AS d",
        f"EXPORT DATABASE '{file}.d'",
    ):
        query = athena.start_query_execution(
            QueryString=sql, ResultConfiguration={"OutputLocation": "s3://mine/results/"}
        )["QueryExecutionId"]
        wait_for(sql, lambda query=query: state(query) in {"SUCCEEDED", "FAILED"})
        assert state(query) == "FAILED", sql
    assert file.read_bytes() == b"as it was\n"
    assert not any(file.with_name(f"copied.{end}").exists() for end in ("py", "db", "d"))
    s3.delete_object(Bucket="theirs", Key="copied")


def test_a_body_that_is_missing_is_not_the_signed_one(world, made):
    key = world.user(allow("s3:*", "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"))
    request = AWSRequest("PUT", f"{world.url}/mine/cut", {"Host": f"127.0.0.1:{world.port}"}, b"hello")
    S3SigV4Auth(Credentials(key.access_key_id, key.secret), "s3", REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request("PUT", "/mine/cut", b"", dict(request.headers.items()))
    assert connection.getresponse().status in REFUSED
    connection.close()
    assert "Contents" not in world.client("s3", made["root"]).list_objects_v2(Bucket="mine", Prefix="cut")


def unproven(world, key_id: str, body: bytes) -> socket.socket:
    """A connection with the head of the largest request in somebody's name, whose signature is wrong."""
    now = f"{clock.now():%Y%m%dT%H%M%SZ}"
    found = socket.create_connection(("127.0.0.1", world.port))
    found.sendall(
        f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Date: {now}\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {LONGEST}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={key_id}/{now[:8]}/{REGION}/sqs/aws4_request, "
        f"SignedHeaders=host;x-amz-date;x-amz-target, Signature={'0' * 64}\r\n\r\n".encode()
        + body
    )
    return found


@pytest.mark.parametrize(("sent_already", "size"), [(1, 380 * 1024), (LONGEST - 1, 200 * 1024)])
def test_nobody_takes_the_room_of_somebody_whose_key_id_he_knows(world, made, sent_already, size):
    root = made["root"]
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(unproven(world, root.access_key_id, b"x" * sent_already))
        sqs = world.client("sqs", root, read_timeout=20)
        sqs.list_queues()
        dynamodb = world.client("dynamodb", root, read_timeout=20)
        dynamodb.put_item(TableName="mine", Item={"id": {"S": "large"}, "v": {"S": "x" * size}})
    dynamodb.delete_item(TableName="mine", Key={"id": {"S": "large"}})


@pytest.mark.parametrize(
    "inner",
    ["<Key>k</Key><VersionId>{v}</VersionId><VersionId></VersionId>", "<Key>k</Key><Key>other</Key>"],
)
def test_what_is_deleted_is_named_once(world, made, inner):
    body = f"<Delete><Object>{inner.format(v=made['version'])}</Object></Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324 - as S3 wants it
    key = world.user(allow("s3:DeleteObject", "arn:aws:s3:::mine/*"))
    status, told = sent(world, key, "POST", "/mine?delete", headers={"content-md5": digest}, body=body)
    assert status in REFUSED, told


def test_a_lock_is_bypassed_by_nobody_who_may_not(world, made):
    body = f"<Delete><Object><Key>k</Key><VersionId>{made['version']}</VersionId></Object></Delete>".encode()
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324 - as S3 wants it
    key = world.user(allow("s3:DeleteObjectVersion", "arn:aws:s3:::mine/*"))
    status, told = sent(
        world, key, "POST", "/mine?delete=&x-amz-bypass-governance-retention=true",
        headers={"content-md5": digest}, body=body,
    )  # fmt: skip
    assert status in REFUSED
    assert b"s3:BypassGovernanceRetention" in told


@pytest.mark.parametrize("source", ["mine/k?versionId=v1&versionId=", "mine/k?%76ersionId=v1", "mine/k?x=1"])
def test_a_copy_names_one_version(world, made, source):
    key = world.user(allow("s3:*", "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"))
    status, told = sent(world, key, "PUT", "/mine/copied", headers={"x-amz-copy-source": source})
    assert status in REFUSED, told


def test_a_form_is_refused_with_what_to_do_whoever_signed_it(world, made):
    """Its fields say who sends it, where no door looks; the emulator would store whatever comes."""
    key = world.user(allow("s3:PutObject", "arn:aws:s3:::mine/*"))
    form = world.client("s3", key).generate_presigned_post("mine", "by-form")
    fields = "".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {**form["fields"], "file": "by form"}.items()
    )
    connection = http.client.HTTPConnection("127.0.0.1", world.port)
    body = f"{fields}--x--\r\n".encode()
    connection.request("POST", "/mine", body, {"Content-Type": "multipart/form-data; boundary=x"})
    answer = connection.getresponse()
    assert answer.status == 501
    told = answer.read().decode()
    connection.close()
    assert "<Code>NotImplemented</Code>" in told
    assert "presign a PUT" in told
    with pytest.raises(ClientError, match="404"):
        world.client("s3", made["root"]).head_object(Bucket="mine", Key="by-form")
