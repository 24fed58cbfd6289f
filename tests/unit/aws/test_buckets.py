from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.aws import buckets
from aerodrome.aws.buckets import BucketFacts, WantedBucket, WantedFile

WANTED = WantedBucket(bucket="my-bucket", region="us-east-1", dag_path="dags")
GOOD = BucketFacts(
    region="us-east-1",
    versioning="Enabled",
    public_access_blocks=frozenset(buckets.BLOCKS),
    dag_prefix_exists=True,
)
PINNED = WantedFile(field="RequirementsS3Path", path="requirements.txt", version="v1")
LATEST = WantedFile(field="PluginsS3Path", path="plugins.zip")


def test_a_good_bucket_has_no_findings():
    assert buckets.judge(WANTED, GOOD) == []


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"exists": False}, "SourceBucketArn", ("my-bucket does not exist", "create it")),
        ({"readable": False}, "SourceBucketArn", ("is denied", "s3:GetBucket*")),
        ({"region": "eu-west-1"}, "SourceBucketArn", ("is in eu-west-1", "us-east-1")),
        ({"versioning": None}, "SourceBucketArn", ("versioning", "Status=Enabled")),
        ({"versioning": "Suspended"}, "SourceBucketArn", ("versioning", "Status=Enabled")),
        (
            {"public_access_blocks": frozenset({"BlockPublicAcls"})},
            "SourceBucketArn",
            ("does not have BlockPublicAccess set for s3 bucket my-bucket", "RestrictPublicBuckets=true"),
        ),
        ({"dag_prefix_exists": False}, "DagS3Path", ("dags/", "put-object", "upload a DAG")),
        ({"files": ((LATEST, "missing", ""),)}, "PluginsS3Path", ("There is no file plugins.zip", "upload it")),
        ({"files": ((LATEST, "denied", ""),)}, "PluginsS3Path", ("denied", "s3:GetObject*")),
        (
            {"files": ((PINNED, "missing", ""),)},
            "RequirementsS3Path",
            ("Unable to read version v1 of file", "list-object"),
        ),
    ],
)
def test_each_fault_is_one_finding_that_names_the_field_and_the_fix(changes, field, words):
    (finding,) = buckets.judge(WANTED, dataclasses.replace(GOOD, **changes))
    assert finding.field == field
    for word in words:
        assert word in finding.message


def test_every_fault_is_told_at_once():
    bad = BucketFacts(region="eu-west-1", files=((PINNED, "missing", ""), (LATEST, "readable", "v9")))
    fields = [finding.field for finding in buckets.judge(WANTED, bad)]
    assert fields == ["SourceBucketArn", "SourceBucketArn", "SourceBucketArn", "DagS3Path", "RequirementsS3Path"]


def test_of_a_missing_bucket_nothing_else_is_said():
    assert len(buckets.judge(WANTED, BucketFacts(exists=False))) == 1


@given(st.sampled_from(["dags", "dags/", "/dags", "/dags/"]))
def test_a_dag_path_is_a_folder(path: str):
    assert buckets.dag_prefix(path) == "dags/"


def test_the_root_of_a_bucket_is_all_of_it():
    assert buckets.dag_prefix("/") == ""
