"""Bring the ledger's database to the newest schema; safe to run at every start, and from two starts at once."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

DATABASE = "aerodrome"
"""The ledger's database, and the role that owns it."""

MIGRATION_LOCK = 4560
"""Key of the advisory lock that keeps two starts from migrating at once; the number is arbitrary."""

NEWEST = "head"

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine, *, to: str = NEWEST) -> None:
    """Run all missing migrations up to `to`, in one transaction."""
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        if to == NEWEST and _revision(connection) == newest():
            return
        from alembic import command  # noqa: PLC0415 - a third of a second, for what most starts do not need
        from alembic.config import Config  # noqa: PLC0415 - as above

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def newest() -> str:
    """The newest revision of the schema; the names of the migrations' files begin with theirs."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _revision(connection: sa.Connection) -> str | None:
    """The revision that the database has; None = it is new."""
    if connection.execute(sa.text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
