"""The control plane's PostgreSQL database: environments, observed state, events.

The only room with SQL of our own tables; it decides nothing. `memory` is the same without a database, for tests.
"""
