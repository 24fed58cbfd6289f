"""The AWS services that an environment uses: clients, what CreateEnvironment asks of a bucket, roles, and an emulator.

Belongs here: everything that speaks to the configured AWS endpoint, and the embedded emulator's description and
program. Does not belong here: our own wire protocols (`api`), syncing a bucket to disk (`sidecar`), starting processes
(`services`; a higher room hands it the emulator's description).
"""
