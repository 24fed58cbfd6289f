"""A spec as the request that makes it again."""

from __future__ import annotations

import pytest

from aerodrome.model import defaults

NEEDED = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
    "SourceBucketArn": "arn:aws:s3:::demo",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["a", "b"], "SecurityGroupIds": ["c"]},
}


@pytest.mark.parametrize(
    "given", [{}, {"Schedulers": 3}, {"MinWebservers": 2}, {"Schedulers": 2, "MinWebservers": 3}, {"MaxWebservers": 4}]
)
def test_a_clone_runs_as_many_as_its_source(given):
    source = defaults.complete("source", {**NEEDED, **given}, latest_version="3.3.1")
    clone = defaults.complete("clone", source.request(), latest_version="3.3.1")
    assert clone == source
    least = given.get("MinWebservers", 1)
    most = given.get("MaxWebservers", least)
    found = (clone.running_schedulers, clone.running_webservers, clone.most_running_webservers)
    assert found == (given.get("Schedulers", 1), least, most)
