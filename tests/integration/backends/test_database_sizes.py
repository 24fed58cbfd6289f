"""A database that has grown beyond its bound is seen, and one that has not is not; PostgreSQL is asked seldom."""

from __future__ import annotations

from unittest import mock

from aerodrome.backends.databases import postgres
from aerodrome.model import defaults, limits
from aerodrome.services import databases
from contract import benches

REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
}


def test_a_database_that_has_outgrown_its_bound_is_seen(cluster, monkeypatch):
    monkeypatch.setattr(postgres, "LOOK_EVERY", -1.0)
    spec = defaults.complete("one", REQUEST, latest_version="3.3.1")
    with benches.on_this_machine(spec, cluster, None) as bench:
        assert bench.see().database.outgrown is None
        bench.alter_database()
        assert bench.see().database.outgrown is None
        with mock.patch.object(databases, "size", wraps=databases.size) as asked:
            assert bench.see().database.outgrown is None
            assert asked.call_count == 0
            monkeypatch.setattr(limits, "metadata_database", lambda wanted, disk: 1 if wanted and disk else 0)
            monkeypatch.setattr(postgres, "SIZE_EVERY", -1.0)
            assert bench.see().database.outgrown == 1
            assert asked.call_count == 1
