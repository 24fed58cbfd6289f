"""Principals, access keys, login tokens, web sessions; audit entries among the events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of identity and widen the table of events."""
    op.create_table(
        "iam_entity",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("unique_id", sa.Text, nullable=False),
        sa.Column("arn", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", postgresql.JSONB, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="iam_entity_pkey"),
        sa.UniqueConstraint("unique_id", name="iam_entity_unique_id_key"),
        sa.UniqueConstraint("arn", name="iam_entity_arn_key"),
    )
    op.create_table(
        "access_key",
        sa.Column("access_key_id", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_service", sa.Text),
        sa.Column("last_used_region", sa.Text),
    )
    op.create_index("ix_access_key_user_id", "access_key", ["user_id"])
    op.create_table(
        "login_token",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("role", sa.Text),
        sa.Column("principal", postgresql.JSONB, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "web_session",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("principal", postgresql.JSONB, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_web_session_environment", "web_session", ["environment"])
    op.alter_column("event", "environment", nullable=True)
    op.add_column("event", sa.Column("principal", sa.Text))
    op.add_column("event", sa.Column("action", sa.Text))
    op.add_column("event", sa.Column("resource", sa.Text))
    op.add_column("event", sa.Column("allowed", sa.Boolean))
    op.add_column("event", sa.Column("address", sa.Text))
    op.create_index("ix_event_principal", "event", ["principal"])
