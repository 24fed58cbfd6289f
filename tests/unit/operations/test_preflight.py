"""The checks before a configuration is accepted: interpreter, execution role, bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.aws import buckets
from aerodrome.errors import CallerError
from aerodrome.identity.authorizer import Authorizer
from aerodrome.model import defaults
from aerodrome.operations.preflight import Preflight
from aerodrome.settings import AWS, Settings
from unit.identity.memory_store import ACCOUNT, MemoryIdentityStore, document, trusting

ROLE = f"arn:aws:iam::{ACCOUNT}:role/demo"
SPEC = defaults.complete(
    "demo",
    {
        "ExecutionRoleArn": ROLE,
        "SourceBucketArn": "arn:aws:s3:::demo-bucket",
        "DagS3Path": "dags/",
        "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
    },
    latest_version="3.3.1",
)
WITH_FILES = replace(
    SPEC, plugins_s3_path="p.zip", requirements_s3_path="r.txt", requirements_s3_object_version="r1"
)  # fmt: skip


class Bucket:
    """S3 with one good bucket of these files, each with its versions, the latest last."""

    def __init__(self, **files: list[str]) -> None:
        self._files = files

    def head_bucket(self, **_: Any) -> None: ...

    def get_bucket_location(self, **_: Any) -> dict[str, Any]:
        return {"LocationConstraint": None}

    def get_bucket_versioning(self, **_: Any) -> dict[str, Any]:
        return {"Status": "Enabled"}

    def get_public_access_block(self, **_: Any) -> dict[str, Any]:
        return {"PublicAccessBlockConfiguration": dict.fromkeys(buckets.BLOCKS, True)}

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        return {"Contents": [{}]}

    def head_object(self, *, Key: str, VersionId: str | None = None, **_: Any) -> dict[str, Any]:  # noqa: N803
        versions = self._files.get(Key.replace(".", "_"), [])
        if not versions or VersionId not in {None, *versions}:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {"VersionId": VersionId or versions[-1]}


def preflight(store: MemoryIdentityStore | None = None, s3: Any = None, **settings: Any) -> Preflight:
    return Preflight(
        settings=Settings(account_id=ACCOUNT, **settings),
        authorizer=Authorizer(store or MemoryIdentityStore()),
        s3=lambda: s3,
    )


def test_files_get_the_versions_that_they_have_now() -> None:
    found = preflight(s3=Bucket(p_zip=["p1", "p2"], r_txt=["r1", "r2"])).with_file_versions(WITH_FILES)
    assert found == replace(WITH_FILES, plugins_s3_object_version="p2", requirements_s3_object_version="r1")


def test_without_files_nothing_is_filled_in() -> None:
    assert preflight(s3=Bucket()).with_file_versions(SPEC) == SPEC


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"r_txt": ["r1"]}, "PluginsS3Path: There is no file p.zip"),
        ({"p_zip": ["p1"], "r_txt": ["r2"]}, "RequirementsS3Path: Unable to read version r1 of file r.txt"),
    ],
)
def test_a_file_that_is_not_there_is_named(files: dict[str, list[str]], words: str) -> None:
    with pytest.raises(CallerError, match=words):
        preflight(s3=Bucket(**files)).with_file_versions(WITH_FILES)


@pytest.mark.parametrize("service", ["airflow.amazonaws.com", "airflow-env.amazonaws.com"])
def test_a_role_that_trusts_mwaa_for_this_environment_passes(service: str) -> None:
    own = f"arn:aws:airflow:us-east-1:{ACCOUNT}:environment/demo"
    condition = {"ArnEquals": {"aws:SourceArn": own}}
    store = MemoryIdentityStore(trusts={ROLE: document(trusting({"Service": service}, Condition=condition))})
    preflight(store).check_execution_role("demo", SPEC)
    with pytest.raises(CallerError, match=f"ExecutionRoleArn: Failed to assume role {ROLE}"):
        preflight(store).check_execution_role("other", SPEC)


def test_a_role_that_is_not_there_is_refused_where_iam_is_ours() -> None:
    with pytest.raises(CallerError, match=f"ExecutionRoleArn: Failed to assume role {ROLE}"):
        preflight().check_execution_role("demo", SPEC)
    preflight(aws_endpoint_url=AWS).check_execution_role("demo", SPEC)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder of a machine without any Python that could be found or fetched."""
    for name in ("PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "PYENV_ROOT"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    return tmp_path


def test_a_version_whose_python_is_nowhere_is_refused(offline: Path) -> None:
    with pytest.raises(CallerError, match=r"Airflow 1\.10\.15 needs Python 3\.7, and none was found on this machine"):
        preflight(data=offline).check_version("1.10.15")


def test_a_version_whose_python_may_be_fetched_is_none_of_the_callers(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_OFFLINE")
    preflight(data=offline).check_version("1.10.15")


def test_what_will_surprise_is_told_of_the_version_that_answers() -> None:
    told = preflight().warnings(replace(SPEC, airflow_version="1.10.12"))
    assert told[0] == "Airflow 1.10.12 is answered by 1.10.15, which Airflow itself and AIRFLOW_VERSION tell."
    assert preflight().warnings(SPEC) == []
