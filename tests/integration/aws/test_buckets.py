from __future__ import annotations

import dataclasses
import secrets

import pytest

from aerodrome import errors
from aerodrome.aws import buckets, clients, credentials
from aerodrome.aws.buckets import WantedBucket, WantedFile
from aerodrome.emulator import launch


@pytest.fixture
def s3(service):
    return service.client("s3")


@pytest.fixture
def wanted(s3) -> WantedBucket:
    bucket = f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket)
    launch.reassert(s3, [bucket])
    s3.put_object(Bucket=bucket, Key="dags/", Body=b"")
    version = s3.put_object(Bucket=bucket, Key="requirements.txt", Body=b"")["VersionId"]
    file = WantedFile(field="RequirementsS3Path", path="requirements.txt", version=version)
    return WantedBucket(bucket=bucket, region="us-east-1", dag_path="dags", files=(file,))


def findings(s3, wanted: WantedBucket) -> list[tuple[str, str]]:
    found = buckets.judge(wanted, buckets.inspect(s3, wanted))
    return [(finding.field, finding.message) for finding in found]


def test_a_good_bucket_passes(s3, wanted):
    assert findings(s3, wanted) == []
    buckets.check(s3, wanted)


def test_a_missing_bucket_is_told(s3, wanted):
    with pytest.raises(errors.CallerError, match="SourceBucketArn: The s3 bucket no-such-bucket does not exist"):
        buckets.check(s3, dataclasses.replace(wanted, bucket="no-such-bucket"))


def test_a_bucket_elsewhere_is_told(s3, wanted):
    bucket = f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    ((_, message), *_) = findings(s3, dataclasses.replace(wanted, bucket=bucket, files=()))
    assert "is in eu-west-1" in message


def test_a_bare_bucket_lacks_versions_privacy_and_dags(s3, wanted):
    bucket = f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="dags-old/a.py", Body=b"")
    found = findings(s3, dataclasses.replace(wanted, bucket=bucket, files=()))
    assert [field for field, _ in found] == ["SourceBucketArn", "SourceBucketArn", "DagS3Path"]


def test_a_version_that_is_not_there_is_told(s3, wanted):
    gone = dataclasses.replace(wanted.files[0], version="00000000-0000-0000-0000-000000000000")
    ((field, message),) = findings(s3, dataclasses.replace(wanted, files=(gone,)))
    assert field == "RequirementsS3Path"
    assert message.startswith(f"Unable to read version {gone.version} of file requirements.txt")


def test_a_deleted_file_is_told(s3, wanted):
    marker = s3.delete_object(Bucket=wanted.bucket, Key="requirements.txt")["VersionId"]
    latest = dataclasses.replace(wanted.files[0], version=None)
    deleted = dataclasses.replace(wanted.files[0], version=marker)
    found = findings(s3, dataclasses.replace(wanted, files=(latest, deleted, *wanted.files)))
    assert len(found) == 2


def test_an_endpoint_that_is_away_asks_for_another_try(wanted):
    away = clients.Endpoint(region="us-east-1", url="http://127.0.0.1:9", credentials=credentials.EMULATOR)
    with pytest.raises(errors.RetryError):
        buckets.check(clients.client(away, "s3"), wanted)
