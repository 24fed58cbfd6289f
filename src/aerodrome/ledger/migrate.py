"""Bring the ledger's database to the newest schema; safe to run at every start, and from two starts at once."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

DATABASE = "aerodrome"
"""The ledger's database, and the role that owns it."""

MIGRATION_LOCK = 4560
"""Key of the advisory lock that keeps two starts from migrating at once; the number is arbitrary."""


def migrate(engine: sa.Engine, *, to: str = "head") -> None:
    """Run all missing migrations up to `to`, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, to)
