"""Alembic's migrations of the ledger: one file a change of schema, never edited after a release."""
