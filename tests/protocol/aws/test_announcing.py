"""Sidecars hear of every way in which an object changes, and of nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import socket

import pytest

from aerodrome.model import announcements
from protocol.aws.test_signatures import put
from waiting import wait_for


@pytest.fixture
def hears(world):
    """Waits until these keys of the bucket `mine` have been announced; returns all that ever were."""
    folder = world.folder / "announced"
    folder.mkdir(exist_ok=True)
    path = announcements.socket(folder, "mine", "01234567")
    everything = set()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(0)
        listener.bind(str(path))

        def hears(*keys):
            fresh = set()

            def read():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        fresh.add(listener.recv(announcements.LONGEST).decode())
                return fresh >= {f"mine/{key}" for key in keys}

            wait_for(f"announcements of {keys}", read)
            everything.update(fresh)
            return everything

        yield hears
    path.unlink()


def test_a_put_a_copy_parts_and_deletions_are_announced(world, made, hears):
    s3 = world.client("s3", made["root"])
    s3.put_object(Bucket="mine", Key="dags/ä b.py", Body=b"1")
    hears("dags/ä b.py")
    s3.copy_object(Bucket="mine", Key="dags/copy.py", CopySource="mine/dags/ä b.py")
    hears("dags/copy.py")
    upload = s3.create_multipart_upload(Bucket="mine", Key="dags/parts.zip")["UploadId"]
    part = s3.upload_part(Bucket="mine", Key="dags/parts.zip", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="mine", Key="dags/parts.zip", UploadId=upload, MultipartUpload=parts)
    hears("dags/parts.zip")
    s3.delete_object(Bucket="mine", Key="dags/copy.py")
    hears("dags/copy.py")
    keys = [{"Key": "dags/ä b.py"}, {"Key": "dags/parts.zip"}]
    s3.delete_objects(Bucket="mine", Delete={"Objects": keys})
    told = hears("dags/ä b.py", "dags/parts.zip")
    assert told == {"mine/dags/ä b.py", "mine/dags/copy.py", "mine/dags/parts.zip"}


def test_reads_and_refused_changes_are_not(world, made, hears):
    s3 = world.client("s3", made["root"])
    s3.list_objects_v2(Bucket="mine")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="mine", Key="absent")
    status, _, _ = put(world, made, "refused", {"x-amz-content-sha256": hashlib.sha256(b"another").hexdigest()}, b"x")
    assert status == 400
    s3.put_object(Bucket="mine", Key="marker", Body=b"")
    assert hears("marker") == {"mine/marker"}


def test_a_sidecar_that_is_gone_costs_nothing(world, made):
    folder = world.folder / "announced"
    folder.mkdir(exist_ok=True)
    path = announcements.socket(folder, "mine", "gone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
    world.client("s3", made["root"]).put_object(Bucket="mine", Key="dags/one.py", Body=b"1")
    path.unlink()
