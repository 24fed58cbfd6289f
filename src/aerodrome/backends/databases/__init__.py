"""Metadata databases on PostgreSQL, with their archives and snapshots: the same for every runtime.

`postgres.PostgresDatabases` is the door. Effects only; which database is wanted when is the controller's decision.
"""
