"""The control plane's PostgreSQL database: environments with their changes and snapshots, IAM, logins, events.

Only this room has SQL for tables of our own; it decides nothing. `memory` is the same without a database, for tests.
"""
