"""The ledger's tables. Alembic's migrations make them in a database; a test holds that both are the same."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "ix_%(column_0_label)s",
    }
)

environment = sa.Table(
    "environment",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
    sa.Column("identifier", sa.Text, nullable=False, unique=True),
    sa.Column("arn", sa.Text, nullable=False),
    sa.Column("spec", postgresql.JSONB, nullable=False),
    sa.Column("tags", postgresql.JSONB, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("last_update", postgresql.JSONB, nullable=False),
    sa.Column("progress", postgresql.JSONB, nullable=False),
    sa.Column("failure", postgresql.JSONB),
    sa.Column("sealed_secrets", sa.LargeBinary, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("deployed", postgresql.JSONB),
    sa.Column("change", postgresql.JSONB),
    sa.Column("hibernation", postgresql.JSONB),
)

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("identifier", sa.ForeignKey("environment.identifier", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("spec", postgresql.JSONB, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("requested_by", sa.Text),
    sa.Column("settled_at", sa.DateTime(timezone=True)),
    sa.Column("failure", postgresql.JSONB),
    sa.Column("report", postgresql.JSONB, nullable=False),
)

snapshot = sa.Table(
    "snapshot",
    metadata,
    sa.Column("identifier", sa.ForeignKey("environment.identifier", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("spec", postgresql.JSONB, nullable=False),
    sa.Column("deployed", postgresql.JSONB, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)

event = sa.Table(
    "event",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("environment", sa.Text, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("detail", postgresql.JSONB, nullable=False),
    # Only audit entries have these:
    sa.Column("principal", sa.Text, index=True),
    sa.Column("action", sa.Text),
    sa.Column("resource", sa.Text),
    sa.Column("allowed", sa.Boolean),
    sa.Column("address", sa.Text),
)

iam_entity = sa.Table(
    "iam_entity",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),  # the name in lower case: IAM does not tell names apart by case
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("unique_id", sa.Text, nullable=False, unique=True),
    sa.Column("arn", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("document", postgresql.JSONB, nullable=False),
)

access_key = sa.Table(
    "access_key",
    metadata,
    sa.Column("access_key_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False, index=True),
    sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("last_used_service", sa.Text),
    sa.Column("last_used_region", sa.Text),
)

login_token = sa.Table(
    "login_token",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("role", sa.Text),
    sa.Column("principal", postgresql.JSONB, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)

web_session = sa.Table(
    "web_session",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False, index=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("principal", postgresql.JSONB, nullable=False),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)
