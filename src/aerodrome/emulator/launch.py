"""The embedded AWS emulator, seen from outside: what to start, whether it answers, what to repair after a crash.

A higher room starts what this describes through `services.daemon`; `__main__` is the program. Starts nothing.

What a SIGKILL costs: objects and their versions are on disk before their request is answered; everything else (bucket
settings, Glue tables, queues) since the last checkpoint, about a second. Hence `reassert`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from aerodrome.emulator import rules
from aerodrome.emulator.own_address import LOOPBACK, OwnAddress
from aerodrome.emulator.redshift import warehouses

PROBE_TIMEOUT = 1.0
"""Seconds for one health check."""

ANSWER_LIMIT = 2**16
"""Bytes of a health check's answer that are read at most."""

BLOCK_PUBLIC_ACCESS = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """What to start and how to reach it."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    """The whole environment; nothing of the host's, its AWS_* least of all."""
    cwd: Path
    address: OwnAddress
    identity: str
    """What its health check answers: tells ours from a stranger, or another data folder's, at the address."""


def identity(folder: Path) -> str:
    """What tells the emulator, and its door, of one data folder from those of another."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]


def describe(
    folder: Path, *, address: OwnAddress, port: int | None = None, region: str, account_id: str, domain: str
) -> Emulator:
    """The emulator whose files lie in `folder` (mode 0700, made by the caller).

    `port` is that of the door before it (None = there is none): URLs of queues name it. `domain` is the one below which
    environments have their pages: web pages of theirs are refused.
    """
    where = f"--port={address.port}" if address.port is not None else f"--socket={address.socket}"
    return Emulator(
        argv=(
            sys.executable,
            "-I",
            "-m",
            "aerodrome.emulator",
            where,
            f"--identity={identity(folder)}",
            f"--domain={domain}",
        ),
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(folder / "objects"),
            "SPOOL_DIR": str(spool_folder(folder)),
            "REDSHIFT_DIR": str(redshift_folder(folder)),
            "SERVICES": ",".join(rules.SERVICES),
            "ATHENA_ENGINE": "duckdb",
            "MINISTACK_ACCOUNT_ID": account_id,
            "MINISTACK_REGION": region,
            "MINISTACK_HOST": "localhost",
            "GATEWAY_PORT": str(port or address.port or 0),
            "BIND_HOST": LOOPBACK,
            "LOG_LEVEL": "WARNING",
            # Listeners of their own, and a daemon that may be somebody else's:
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent",
            "MINISTACK_WORKER_THREADS": "16",
        },
        cwd=folder,
        address=address,
        identity=identity(folder),
    )


def redshift_folder(folder: Path) -> Path:
    """Where an emulator asks for databases and finds how to reach them (`redshift.warehouses`); made by the caller."""
    return folder / "redshift"


def spool_folder(folder: Path) -> Path:
    """Where the door leaves large bodies for an emulator, which makes it unless it is there."""
    return folder / "spool"


def written_folders(folder: Path) -> tuple[Path, ...]:
    """The folders that an emulator writes to, each of mode 0700 and its own."""
    return *(folder / name for name in ("objects", "state", "tmp")), warehouses.requests(redshift_folder(folder))


def choose_port(folder: Path, wanted: int) -> int:
    """`wanted`; or, when it is 0, a free port, which is kept in `folder` for every later start."""
    if wanted:
        return wanted
    note = folder / "port"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(note.read_text(encoding="ascii"))
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    note.write_text(str(port), encoding="ascii")
    return port


def answers(emulator: Emulator) -> bool:
    """Whether this very emulator answers; a stranger at its address does not count."""
    return told(emulator.address, rules.HEALTH).get("emulator") == emulator.identity


def told(address: OwnAddress, path: str) -> dict[str, Any]:
    """What a health check answers; empty when nothing does."""
    connection = address.connection(PROBE_TIMEOUT)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read(ANSWER_LIMIT))
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return document if isinstance(document, dict) else {}


def reassert(s3: Any, buckets: Iterable[str]) -> None:
    """Give the buckets of environments back what a killed emulator may have forgotten: being, versions, privacy."""
    for bucket in buckets:
        _ensure_bucket(s3, bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=BLOCK_PUBLIC_ACCESS)


def _ensure_bucket(s3: Any, bucket: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
            raise
        region = s3.meta.region_name
        located = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **located)
