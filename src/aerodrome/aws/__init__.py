"""Clients of the AWS services that an environment uses: of the real AWS, the emulator, or another endpoint.

Here are clients, the demands of CreateEnvironment on a bucket, and a role's credentials. Not here are the embedded AWS
(`emulator`), our own wire protocols (`api`), and the copying of a bucket to disk (`sidecar`).
"""
