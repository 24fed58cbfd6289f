"""A migrated ledger for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from aerodrome.ledger.migrate import migrate
from aerodrome.services import clusters


@pytest.fixture
def engine(cluster: clusters.Cluster, empty_database: str) -> Iterator[sa.Engine]:
    found = sa.create_engine(cluster.superuser_dsn(empty_database, scheme="postgresql+psycopg"))
    migrate(found)
    yield found
    found.dispose()
