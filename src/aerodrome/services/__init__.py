"""Embedded PostgreSQL and Redis, and how a detached service is started, adopted after a restart and stopped."""
