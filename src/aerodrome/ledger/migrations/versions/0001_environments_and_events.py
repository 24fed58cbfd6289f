"""Environments and their events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "environment",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("arn", sa.Text, nullable=False),
        sa.Column("spec", postgresql.JSONB, nullable=False),
        sa.Column("tags", postgresql.JSONB, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_update", postgresql.JSONB, nullable=False),
        sa.Column("progress", postgresql.JSONB, nullable=False),
        sa.Column("failure", postgresql.JSONB),
        sa.Column("sealed_secrets", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("number", name="environment_number_key"),
        sa.UniqueConstraint("identifier", name="environment_identifier_key"),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("detail", postgresql.JSONB, nullable=False),
    )
    op.create_index("ix_event_environment", "event", ["environment"])
