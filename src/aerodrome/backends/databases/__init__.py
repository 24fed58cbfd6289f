"""Metadata databases on PostgreSQL, with their archives and snapshots: the same for every runtime.

`postgres.PostgresDatabases` is the entry. Effects only; the controller decides which database is wanted when.
"""
