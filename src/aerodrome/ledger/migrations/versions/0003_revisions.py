"""Changes that are under way, revisions and snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KNOWN = (
    """UPDATE environment SET last_update = last_update || '{"strategy": null}'""",
    # Nobody wrote down which lock they were installed from. An empty one means the present lock, which the next
    # maintenance writes down.
    """
    UPDATE environment
    SET deployed = jsonb_build_object(
        'identifier', '', 'version', spec ->> 'AirflowVersion', 'lock', '', 'content', NULL, 'cell', 1
    )
    WHERE status IN ('AVAILABLE', 'UNAVAILABLE')
    """,
    """
    UPDATE environment
    SET change = jsonb_build_object(
        'kind', 'CREATE', 'spec', spec, 'revision', 1, 'strategy', 'GRACEFUL', 'requested_at', to_jsonb(created_at),
        'requested_by', NULL, 'seed', NULL, 'deployed', NULL, 'archived', FALSE, 'rehearsed', FALSE,
        'migrated', FALSE, 'swapped', FALSE, 'report', '[]'::jsonb
    )
    WHERE status = 'CREATING'
    """,
    """
    INSERT INTO revision (identifier, number, kind, spec, outcome, requested_at, settled_at, failure, report)
    SELECT
        identifier, 1, 'CREATE', spec,
        CASE status WHEN 'CREATING' THEN 'PENDING' WHEN 'CREATE_FAILED' THEN 'FAILED' ELSE 'APPLIED' END,
        created_at, CASE status WHEN 'CREATING' THEN NULL ELSE created_at END, failure, '[]'::jsonb
    FROM environment
    """,
)
"""What happens to environments that exist already: each becomes its own first revision."""


def upgrade() -> None:
    """Widen the table of environments, and make the tables of revisions and snapshots."""
    op.add_column("environment", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
    op.alter_column("environment", "revision", server_default=None)
    op.add_column("environment", sa.Column("deployed", postgresql.JSONB))
    op.add_column("environment", sa.Column("change", postgresql.JSONB))
    op.create_table(
        "revision",
        sa.Column("identifier", sa.Text, sa.ForeignKey("environment.identifier", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("spec", postgresql.JSONB, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.Text),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("failure", postgresql.JSONB),
        sa.Column("report", postgresql.JSONB, nullable=False),
        sa.PrimaryKeyConstraint("identifier", "number", name="revision_pkey"),
    )
    op.create_table(
        "snapshot",
        sa.Column("identifier", sa.Text, sa.ForeignKey("environment.identifier", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spec", postgresql.JSONB, nullable=False),
        sa.Column("deployed", postgresql.JSONB, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("identifier", "number", name="snapshot_pkey"),
    )
    for statement in KNOWN:
        op.execute(statement)
