"""Large bodies reach the emulator as files: whole, as they were signed, and gone afterwards."""

from __future__ import annotations

import hashlib
import os
import socket

import pytest

from aerodrome.api.aws import spool
from aerodrome.emulator import launch
from protocol.aws.test_signatures import is_missing, put
from waiting import wait_for

LARGE = 3 * spool.PIECE // 2


def files(world) -> list[str]:
    return [path.name for path in launch.spool_folder(world.folder).iterdir()]


@pytest.mark.parametrize("size", [spool.SMALLEST + 1, LARGE, spool.LARGEST, spool.LARGEST + 1])
@pytest.mark.parametrize("signed", ["digest", "UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_they_arrive_as_they_were_sent(world, made, size, signed):
    body = os.urandom(size)
    headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest() if signed == "digest" else signed}
    sent = body
    if signed.startswith("STREAMING"):
        sent = b"%x\r\n%s\r\n0\r\n\r\n" % (size, body)
        headers |= {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(size)}
    status, _, told = put(world, made, "large", headers, sent)
    assert status == 200, told
    found = world.client("s3", made["root"]).get_object(Bucket="mine", Key="large")
    assert found["Body"].read() == body
    assert "aws-chunked" not in found.get("ContentEncoding", "")
    wait_for("no file", lambda: not files(world))


def test_one_that_is_not_as_it_was_signed_is_not_stored(world, made):
    headers = {"x-amz-content-sha256": hashlib.sha256(b"another").hexdigest()}
    status, _, told = put(world, made, "changed", headers, b"x" * LARGE)
    assert status == 400
    assert b"XAmzContentSHA256Mismatch" in told
    assert is_missing(world, made, "changed")
    wait_for("no file", lambda: not files(world))


def test_one_of_which_only_a_part_comes_is_not_stored(world, made):
    with socket.create_connection(("127.0.0.1", world.port)) as connection:
        url = world.client("s3", made["root"], signature_version="s3v4").generate_presigned_url(
            "put_object", Params={"Bucket": "mine", "Key": "broken-off"}
        )
        target = url.partition(str(world.port))[2]
        head = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nContent-Length: {LARGE}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * (LARGE - 1))
        wait_for("a file", lambda: files(world))
    wait_for("no file", lambda: not files(world))
    assert is_missing(world, made, "broken-off")


def test_without_room_for_a_file_they_are_passed_on_as_they_come(world, made, monkeypatch):
    monkeypatch.setattr(spool, "LARGEST", LARGE - 1)
    body = os.urandom(LARGE)
    status, _, _ = put(world, made, "streamed", {"x-amz-content-sha256": hashlib.sha256(body).hexdigest()}, body)
    assert status == 200
    assert world.client("s3", made["root"]).head_object(Bucket="mine", Key="streamed")["ContentLength"] == LARGE


@pytest.mark.parametrize("named", ["../state/s3.json", "/etc/passwd", "0" * 32])
def test_a_client_names_no_file(world, made, named):
    body = b"what was sent"
    headers = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "x-aerodrome-body": named}
    status, _, _ = put(world, made, "named", headers, body)
    assert status == 200
    assert world.client("s3", made["root"]).get_object(Bucket="mine", Key="named")["Body"].read() == body
