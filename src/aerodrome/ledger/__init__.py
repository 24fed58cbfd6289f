"""The control plane's PostgreSQL database: environments, observed state, events.

Only this room has SQL for tables of our own; it decides nothing. `memory` is the same without a database, for tests.
"""
