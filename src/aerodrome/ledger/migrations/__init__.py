"""Alembic's migrations of the ledger: one file for each change of the schema, never edited after a release."""
