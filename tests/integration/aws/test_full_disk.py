"""A disk that takes no more: the embedded S3 refuses what it cannot keep, and loses nothing that it has."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from aerodrome.emulator import reserve
from tools import own_emulator
from tools.own_emulator import OwnEmulator

MIB = 2**20
SIZE = 400 * MIB


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system to fill")
    folder = Path(tempfile.mkdtemp(prefix="fd-", dir="/tmp"))
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture(scope="module")
def emulator(small_disk: Path) -> Iterator[OwnEmulator]:
    before = tempfile.tempdir
    tempfile.tempdir = str(small_disk)
    try:
        with own_emulator.running() as found:
            tempfile.tempdir = before
            yield found
    finally:
        tempfile.tempdir = before


@pytest.fixture
def bucket(emulator, request) -> str:
    name, s3 = f"bucket-{abs(hash(request.node.name))}", emulator.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield name
    for each in versions(s3, name):
        s3.delete_object(Bucket=name, Key=each["Key"], VersionId=each["VersionId"])


def versions(s3, bucket):
    return s3.list_object_versions(Bucket=bucket).get("Versions", [])


@contextlib.contextmanager
def filled(disk: Path, *, but: int) -> Iterator[None]:
    """So many bytes are free meanwhile, and no more."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - but)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(ClientError) as told:
        yield
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "The disk takes no more" in str(told.value)


def test_a_reserve_is_left_and_deletions_are_taken(emulator, small_disk, bucket):
    s3 = emulator.client("s3")
    s3.put_object(Bucket=bucket, Key="dags/one.py", Body=b"first")
    with filled(small_disk, but=reserve.BYTES - MIB):
        with refused():
            s3.put_object(Bucket=bucket, Key="dags/one.py", Body=b"second")
        with refused():
            s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "dags/one.py"})
        assert s3.get_object(Bucket=bucket, Key="dags/one.py")["Body"].read() == b"first"
        s3.delete_object(Bucket=bucket, Key="dags/one.py")
        assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="dags/one.py", Body=b"second")
    assert len(versions(s3, bucket)) == 2


def test_what_does_not_fit_leaves_what_was_there(emulator, small_disk, bucket):
    """The body is small, but the version that it replaces must be put aside, for which there is no room."""
    s3 = emulator.client("s3")
    large = bytes(80 * MIB)
    first = s3.put_object(Bucket=bucket, Key="large", Body=large)["VersionId"]
    with filled(small_disk, but=reserve.BYTES + MIB):
        with refused():
            s3.put_object(Bucket=bucket, Key="large", Body=b"small")
        check = s3.head_object(Bucket=bucket, Key="large")
        assert (check["ContentLength"], check["VersionId"]) == (len(large), first)
        emulator.kill()
        emulator.start()
        assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == large
        assert [each["VersionId"] for each in versions(s3, bucket)] == [first]
    s3.put_object(Bucket=bucket, Key="large", Body=b"small")
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == b"small"
    assert s3.get_object(Bucket=bucket, Key="large", VersionId=first)["Body"].read() == large
    assert [*(emulator.folder / "tmp").glob("object-*")] == []


def test_an_upload_that_does_not_fit_can_be_completed_later(emulator, small_disk, bucket):
    s3 = emulator.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    whole = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**whole, PartNumber=number, Body=bytes(40 * MIB))["ETag"]}
        for number in (1, 2)
    ]
    with filled(small_disk, but=reserve.BYTES + MIB):
        with refused():
            s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts})
        assert versions(s3, bucket) == []
        with refused():
            s3.upload_part(**whole, PartNumber=3, Body=bytes(5 * MIB))
    s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=bucket, Key="parts")["ContentLength"] == 80 * MIB


def put(s3, bucket):
    """Small, but what it replaces is put aside as a version."""
    s3.put_object(Bucket=bucket, Key="large", Body=b"small")


def copy(s3, bucket):
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "large"})


def copy_part(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    whole = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    try:
        s3.upload_part_copy(**whole, PartNumber=1, CopySource={"Bucket": bucket, "Key": "large"})
    finally:
        found = s3.list_parts(**whole).get("Parts", [])
        s3.abort_multipart_upload(**whole)
        assert found == []


@pytest.mark.parametrize("act", [put, copy, copy_part])
def test_the_reserve_is_left_by_requests_that_write_more_than_their_body(emulator, small_disk, bucket, act):
    s3 = emulator.client("s3")
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(20 * MIB))
    with filled(small_disk, but=reserve.BYTES + MIB), refused():
        act(s3, bucket)
    assert [each["Size"] for each in versions(s3, bucket)] == [20 * MIB]


def test_the_reserve_is_left_by_a_completed_upload(emulator, small_disk, bucket):
    s3 = emulator.client("s3")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    whole = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    tag = s3.upload_part(**whole, PartNumber=1, Body=bytes(20 * MIB))["ETag"]
    with filled(small_disk, but=reserve.BYTES + MIB), refused():
        s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert versions(s3, bucket) == []
