"""Clients of the AWS services that an environment uses, wherever these are: the real AWS, the emulator, or another's.

Belongs here: making clients, what CreateEnvironment asks of a bucket, and a role's credentials. Does not belong here:
the embedded AWS (`emulator`), our own wire protocols (`api`), and syncing a bucket to disk (`sidecar`).
"""
