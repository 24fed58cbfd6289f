"""What the AWS door tells sidecars: an object of a bucket was put, or is gone. Pure.

A datagram for each, to a socket whose name begins with the bucket's. Nobody relies on it: a sidecar that heard nothing
lists the bucket a second later.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

LONGEST = 4096
"""Bytes of an announcement; S3's longest key has 1024."""


def sockets_of(bucket: str) -> str:
    """What the names of the sockets begin with that want to know of a bucket; socket paths are short."""
    return hashlib.sha256(bucket.encode()).hexdigest()[:8] + "-"


def socket(folder: Path, bucket: str, identifier: str) -> Path:
    """Where an environment's sidecar hears of the bucket."""
    return folder / (sockets_of(bucket) + identifier)


def message(bucket: str, key: str) -> bytes:
    """What is sent."""
    return f"{bucket}/{key}".encode()[:LONGEST]


def concerns(sent: bytes, bucket: str, prefix: str) -> bool:
    """Whether the message is of a key of the bucket that begins so."""
    return sent.startswith(f"{bucket}/{prefix}".encode())
