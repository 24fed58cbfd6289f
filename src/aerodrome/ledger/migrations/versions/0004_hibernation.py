"""How far an environment is on its way to sleep or back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the table of environments; those that exist are awake."""
    op.add_column("environment", sa.Column("hibernation", postgresql.JSONB))
