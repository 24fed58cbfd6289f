"""Alembic's entry point: runs the migrations on the connection that ledger.migrate hands over."""

from __future__ import annotations

from alembic import context

from aerodrome.ledger import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema.metadata)
with context.begin_transaction():
    context.run_migrations()
