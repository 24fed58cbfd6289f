"""The files of a release, read from a bucket of the real emulator before a sidecar has brought its DAGs."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from aerodrome.backends.releases import fetching
from aerodrome.model import defaults
from aerodrome.release import user_files
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles

NAMED = "/usr/local/airflow/dags/more/constraints.txt"


@pytest.fixture
def s3(service):
    return service.client("s3")


@pytest.fixture
def bucket(s3) -> str:
    name = f"release-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def spec(bucket):
    request = {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": f"arn:aws:s3:::{bucket}",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
        "RequirementsS3Path": "requirements.txt",
    }
    return defaults.complete("one", request, latest_version="3.3.1")


def fetched(s3, spec, folder):
    return fetching.fetch(s3, spec, UserFiles(), folder, lambda: None)


@pytest.mark.parametrize(("path", "key"), [("dags", "dags/"), ("/dags/", "dags/"), ("a/b", "a/b/"), ("/", "")])
def test_constraints_among_the_dags_are_those_of_the_bucket(s3, bucket, spec, tmp_path, path, key):
    s3.put_object(Bucket=bucket, Key="requirements.txt", Body=f"-c {NAMED}\n".encode())
    s3.put_object(Bucket=bucket, Key=f"{key}more/constraints.txt", Body=b"cow==1.0\n")
    found = fetched(s3, replace(spec, dag_s3_path=path), tmp_path)
    assert user_files.file(found, NAMED) == b"cow==1.0\n"
    assert user_files.file(found, "/usr/local/airflow/dags/gone.txt") is None
    assert user_files.file(found, "/usr/local/airflow/dags/../requirements.txt") is None


def test_what_was_read_once_stays_as_it_was(s3, bucket, spec, tmp_path):
    s3.put_object(Bucket=bucket, Key="requirements.txt", Body=f"-c {NAMED}\n".encode())
    s3.put_object(Bucket=bucket, Key="dags/more/constraints.txt", Body=b"cow==1.0\n")
    found = fetched(s3, spec, tmp_path)
    assert user_files.file(found, NAMED) == b"cow==1.0\n"
    s3.put_object(Bucket=bucket, Key="dags/more/constraints.txt", Body=b"cow==2.0\n")
    assert user_files.file(found, NAMED) == b"cow==1.0\n"


def test_a_file_that_the_spec_names_must_be_there(s3, spec, tmp_path):
    with pytest.raises(ReleaseError, match=r"Unable to read file requirements\.txt"):
        fetched(s3, spec, tmp_path)
