"""The services that environments stand on: embedded PostgreSQL and Redis, and how a detached process is kept.

Here belong: starting, adopting after a restart, and stopping; the files and accounts that this needs; administration of
databases. Not here: what the databases contain, when a service should run, or anything of AWS (the emulator describes
itself in `emulator`, and a higher room starts it through `daemon`).
"""
