"""What the suites share: a migrated ledger, and a spec to ask for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from aerodrome.ledger import schema
from aerodrome.ledger.migrate import migrate
from aerodrome.model import defaults
from aerodrome.model.spec import Spec
from aerodrome.services import clusters, databases

LEDGER = "contract"


@pytest.fixture(scope="session")
def migrated(cluster: clusters.Cluster) -> Iterator[sa.Engine]:
    """One database for all the suites: making one takes longer than a test."""
    databases.ensure_role(cluster, LEDGER, "test")
    databases.ensure_database(cluster, LEDGER, LEDGER)
    engine = sa.create_engine(cluster.superuser_dsn(LEDGER, scheme="postgresql+psycopg"))
    migrate(engine)
    yield engine
    engine.dispose()
    databases.drop_database(cluster, LEDGER)
    databases.drop_role(cluster, LEDGER)


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    """A ledger on a real PostgreSQL, empty at the beginning of each test."""
    with migrated.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    return migrated


@pytest.fixture(scope="session")
def spec() -> Spec:
    return defaults.complete(
        "one",
        {
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
            "SourceBucketArn": "arn:aws:s3:::bucket",
            "DagS3Path": "dags",
            "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
            "AirflowConfigurationOptions": {"core.dag_concurrency": "5"},
        },
        latest_version="3.3.1",
    )
