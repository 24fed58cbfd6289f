"""A spec as CreateEnvironment completes one."""

from __future__ import annotations

import pytest

from aerodrome.model import defaults
from aerodrome.model.spec import Spec


@pytest.fixture(scope="session")
def spec() -> Spec:
    return defaults.complete(
        "one",
        {
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
            "SourceBucketArn": "arn:aws:s3:::bucket",
            "DagS3Path": "dags",
            "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
            "AirflowConfigurationOptions": {"core.parallelism": "8"},
        },
        latest_version="3.3.1",
    )
