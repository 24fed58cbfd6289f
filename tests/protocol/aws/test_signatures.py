# ruff: noqa: ARG001, S310 - what `made` makes is there by being asked for; every URL is the door's
"""A request that does not prove its sender gets nothing, whatever the form of the proof."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import urllib.request
from datetime import timedelta
from urllib.error import HTTPError

import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from aerodrome import clock
from protocol.api.memory import Key
from protocol.api.raw import moment
from protocol.aws.world import ADMINISTRATOR, REGION, allow

CLIENTS = ("s3", "sqs", "sns", "secretsmanager", "kms", "logs", "cloudwatch", "dynamodb")
ASKED = {
    "s3": lambda c: c.list_buckets(),
    "sqs": lambda c: c.list_queues(),
    "sns": lambda c: c.list_topics(),
    "secretsmanager": lambda c: c.list_secrets(),
    "kms": lambda c: c.list_keys(),
    "logs": lambda c: c.describe_log_groups(),
    "cloudwatch": lambda c: c.list_metrics(),
    "dynamodb": lambda c: c.list_tables(),
}


def code(call) -> str | None:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


@pytest.mark.parametrize("service", CLIENTS)
def test_a_wrong_secret_is_refused(world, made, service):
    key = world.user(ADMINISTRATOR)
    assert code(lambda: ASKED[service](world.client(service, key))) is None
    wrong = Key(key.access_key_id, key.secret + "x")
    told = code(lambda: ASKED[service](world.client(service, wrong)))
    assert told in {"SignatureDoesNotMatch", "InvalidSignatureException"}


@pytest.mark.parametrize("service", CLIENTS)
@pytest.mark.parametrize("key", [Key("AKIAUNKNOWNUNKNOWNUN", "x"), Key("test", "test"), Key("000000000000", "x")])
def test_an_unknown_key_is_refused(world, service, key):
    told = code(lambda: ASKED[service](world.client(service, key)))
    assert told in {"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"}


@pytest.mark.parametrize("service", CLIENTS)
def test_a_session_needs_its_token_and_its_time(world, service):
    session = world.session(ADMINISTRATOR)
    assert code(lambda: ASKED[service](world.client(service, session))) is None
    without = Key(session.access_key_id, session.secret_access_key)
    assert code(lambda: ASKED[service](world.client(service, without))) is not None
    old = world.session(ADMINISTRATOR, now=clock.now() - timedelta(hours=2))
    assert code(lambda: ASKED[service](world.client(service, old))) in {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
    }


@pytest.mark.parametrize("service", CLIENTS)
def test_another_region_and_another_time_are_refused(world, service):
    key = world.user(ADMINISTRATOR)
    assert code(lambda: ASKED[service](world.client(service, key, region="eu-west-1"))) is not None
    with moment(clock.now() - timedelta(hours=1)):
        assert code(lambda: ASKED[service](world.client(service, key))) is not None


@pytest.mark.parametrize("service", CLIENTS)
def test_nobody_is_let_in(world, service):
    key = world.user(ADMINISTRATOR)
    assert code(lambda: ASKED[service](world.client(service, key, signature_version=UNSIGNED))) is not None


@pytest.mark.parametrize("service", ["airflow", "iam"])
def test_what_aerodrome_answers_itself_is_refused(world, service):
    status, _, body = asked(world, "POST", "/", {}, b"", service=service)
    assert status == 403
    assert b"own endpoint" in body


def asked(world, method, path, headers, body, *, key=None, service="s3", tamper=lambda headers: headers):
    """One request, signed as it stands, and its answer."""
    key = key or world.user(ADMINISTRATOR)
    request = AWSRequest(method, f"{world.url}{path}", dict(headers), body)
    SigV4Auth(Credentials(key.access_key_id, key.secret), service, REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request(method, path, body, tamper(dict(request.headers.items())))
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def test_a_body_that_is_not_the_one_that_was_signed_is_not_stored(world, made):
    body = b"as signed " * 1000
    headers = {"x-amz-content-sha256": hashlib.sha256(b"another").hexdigest()}
    status, _, told = put(world, made, "tampered", headers, body)
    assert status == 400
    assert b"XAmzContentSHA256Mismatch" in told
    assert is_missing(world, made, "tampered")


def put(world, made, name, headers, body):
    """A PUT whose head says what `headers` say, whatever the body is."""
    key = made["root"]
    path = f"/mine/{name}"
    request = AWSRequest("PUT", f"{world.url}{path}", dict(headers), body)
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret), "s3", REGION)
    signer.payload = lambda _request: headers["x-amz-content-sha256"]
    signer.add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request("PUT", path, body, dict(request.headers.items()))
    answer = connection.getresponse()
    found = answer.status, dict(request.headers.items()), answer.read()
    connection.close()
    return found


def is_missing(world, made, name) -> bool:
    return code(lambda: world.client("s3", made["root"]).head_object(Bucket="mine", Key=name)) == "404"


@pytest.mark.parametrize("change", [None, "data", "signature", "order", "trailer", "missing end", "more"])
@pytest.mark.parametrize("is_trailed", [False, True])
def test_chunks_are_verified_one_by_one(world, made, change, is_trailed):
    if change == "trailer" and not is_trailed:
        pytest.skip("it has none")
    name = f"chunks-{is_trailed}-{change}".replace(" ", "-")
    status, told = put_in_chunks(world, made, name, [b"a" * 70_000, b"b" * 9], change=change, is_trailed=is_trailed)
    if change is None:
        assert status == 200, told
        got = world.client("s3", made["root"]).get_object(Bucket="mine", Key=name)["Body"].read()
        assert got == b"a" * 70_000 + b"b" * 9
        return
    assert status in {400, 403}
    assert is_missing(world, made, name)


def put_in_chunks(world, made, name, chunks, *, change, is_trailed):
    declared = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if is_trailed else "")
    data = b"".join(chunks)
    headers = {
        "x-amz-content-sha256": declared,
        "x-amz-decoded-content-length": str(len(data)),
        "content-encoding": "aws-chunked",
    }
    if is_trailed:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    key = made["root"]
    path = f"/mine/{name}"
    request = AWSRequest("PUT", f"{world.url}{path}", headers, b"")
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret), "s3", REGION)
    signer.payload = lambda _request: declared
    signer.add_auth(request)
    authorization = request.headers["Authorization"]
    stamp, last = request.headers["X-Amz-Date"], authorization.rpartition("Signature=")[2]
    scope = authorization.partition("Credential=")[2].partition(",")[0].partition("/")[2]
    signing = b"AWS4" + key.secret.encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    empty, body, pieces = hashlib.sha256(b"").hexdigest(), b"", []
    for chunk in [*chunks, b""]:
        text = f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{scope}\n{last}\n{empty}\n{hashlib.sha256(chunk).hexdigest()}"
        last = hmac.digest(signing, text.encode(), "sha256").hex()
        head = f"{len(chunk):x};chunk-signature={last if change != 'signature' or not chunk else '0' * 64}\r\n".encode()
        sent = chunk.replace(b"b", b"c") if change == "data" else chunk
        pieces.append(head + (sent + b"\r\n" if chunk else b""))
    if change == "order":
        pieces[0], pieces[1] = pieces[1], pieces[0]
    body = b"".join(pieces[:-1] if change == "missing end" else pieces)
    if is_trailed and change != "missing end":
        checksum = base64.b64encode(binascii.crc32(data).to_bytes(4, "big")).decode()
        lines = f"x-amz-checksum-crc32:{checksum}\n"
        text = f"AWS4-HMAC-SHA256-TRAILER\n{stamp}\n{scope}\n{last}\n{hashlib.sha256(lines.encode()).hexdigest()}"
        signature = hmac.digest(signing, text.encode(), "sha256").hex()
        if change == "trailer":
            lines = lines.replace("crc32:", "crc32:A")
        body += f"{lines.strip()}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    body += b"" if change == "missing end" else b"\r\n"
    if change == "more":
        body = body.removesuffix(b"\r\n") + b"x-amz-acl:public-read\r\n\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request("PUT", path, body, dict(request.headers.items()))
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_a_trailer_that_nobody_signed_is_read_as_an_unsigned_body(world, made):
    data = b"unsigned"
    checksum = base64.b64encode(binascii.crc32(data).to_bytes(4, "big")).decode()
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(data)),
        "content-encoding": "aws-chunked",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    body = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:%b\r\n\r\n" % (len(data), data, checksum.encode())
    assert put(world, made, "unsigned-trailer", headers, body)[0] == 200
    wrong = body.replace(checksum.encode(), b"AAAAAA==")
    assert put(world, made, "wrong-trailer", headers, wrong)[0] == 400
    assert is_missing(world, made, "wrong-trailer")


def test_presigned_urls_hold_for_one_request_and_one_time(world, made):
    key = world.user(allow("s3:GetObject", "arn:aws:s3:::mine/k"), allow("s3:PutObject", "arn:aws:s3:::mine/presigned"))
    s3 = world.client("s3", key, s3={"addressing_style": "path"}, signature_version="s3v4")
    url = s3.generate_presigned_url("get_object", {"Bucket": "mine", "Key": "k"}, 60)
    with urllib.request.urlopen(url) as answer:
        assert answer.status == 200
    put_url = s3.generate_presigned_url("put_object", {"Bucket": "mine", "Key": "presigned"}, 60)
    with urllib.request.urlopen(urllib.request.Request(put_url, b"by url", method="PUT")) as answer:
        assert answer.status == 200
    for bad in (url.replace("/k?", "/other?"), url.replace("Expires=60", "Expires=600"), url + "&versionId=x"):
        with pytest.raises(HTTPError, match=r"403|400"):
            urllib.request.urlopen(bad)
    world.late_by = timedelta(minutes=2)
    try:
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(url)
    finally:
        world.late_by = timedelta()
