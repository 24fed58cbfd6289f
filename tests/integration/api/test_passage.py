"""S3, Athena, STS and MWAA through one endpoint, with unmodified clients, before the real emulator."""

from __future__ import annotations

import json
import os
import secrets
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

import aws_command
from protocol.api import raw

ODD_KEY = "dags/a b+c/%2F/größe=1&x?.py"
MEBI = 1024 * 1024


@pytest.fixture(params=["path", "virtual"])
def s3(request: pytest.FixtureRequest, client_of: Callable[..., Any]) -> Any:
    return client_of("s3", s3={"addressing_style": request.param})


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"front-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    return name


def test_objects_of_odd_names_come_back(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=ODD_KEY, Body=b"print()", Metadata={"note": "a"}, ContentType="text/x-python")
    head = s3.head_object(Bucket=bucket, Key=ODD_KEY)
    part = s3.get_object(Bucket=bucket, Key=ODD_KEY, Range="bytes=0-4")

    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (7, {"note": "a"}, "text/x-python")
    assert part["Body"].read() == b"print"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="dags/a b+")["Contents"]] == [ODD_KEY]


def test_versions_and_deletions(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    s3.delete_object(Bucket=bucket, Key="k")

    assert s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read() == b"1"
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=bucket, Key="k")


def test_a_large_file_in_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(20 * MEBI))
    config = TransferConfig(multipart_threshold=5 * MEBI, multipart_chunksize=5 * MEBI, max_concurrency=4)
    s3.upload_file(str(source), bucket, "large", Config=config)
    s3.download_file(bucket, "large", str(copy), Config=config)

    assert copy.read_bytes() == source.read_bytes()
    assert s3.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-4"')


def test_a_condition_that_holds_not(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


def test_a_presigned_address(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=ODD_KEY, Body=b"here")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": ODD_KEY})
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - the address was made above
        assert response.read() == b"here"


def test_other_services_and_ours_share_the_endpoint(client_of: Callable[..., Any]) -> None:
    assert client_of("sts").get_caller_identity()["Account"] == "000000000000"
    assert "WorkGroups" in client_of("athena").list_work_groups()
    assert client_of("mwaa").list_environments()["Environments"] == []
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        client_of("glue").get_database(Name="absent")


def test_the_aws_command_line(front: int, tmp_path: Path) -> None:
    # Those that have this command can also be told to put no prefix before MWAA's host.
    aws = aws_command.found(f"http://127.0.0.1:{front}", tmp_path, raw.ADMIN, offering="start-live-tail").run

    listed = aws("mwaa", "list-environments")
    absent = aws("mwaa", "get-environment", "--name", "absent")
    made = aws("s3", "mb", "s3://from-the-command-line")

    assert json.loads(listed.stdout) == {"Environments": []}
    assert "(ResourceNotFoundException) when calling the GetEnvironment operation" in absent.stderr
    assert made.returncode == 0
