"""The store's process, seen from outside: what to start, and whether it answers.

A higher room starts what this describes through `services.daemon`; `__main__` is the program. Starts nothing.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aerodrome.unix_http import UnixHttpConnection

HEALTH = "/_aerodrome/health"

TOTALS = "/_aerodrome/totals"
"""Where the control plane asks what to show to scrapers; no request that the door passes on has such a path."""

TOTALS_TIMEOUT = 5.0
TOTALS_LIMIT = 32 * 2**20
"""Seconds, and bytes, for that answer; the store keeps it shorter."""

PROBE_TIMEOUT = 1.0
"""Seconds for one health check."""

ANSWER_LIMIT = 2**16
"""Bytes of a health check's answer that are read at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStore:
    """What to start and how to reach it."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(repr=False)
    """The whole environment."""
    cwd: Path
    socket: Path
    identity: str
    """What its health check answers: tells ours from another data folder's."""


def describe(
    folder: Path,
    *,
    socket: Path,
    region: str,
    account_id: str,
    most_bytes: int,
    longest_days: int,
    most_metrics_bytes: int,
    sns: Path,
) -> LogStore:
    """The store whose files lie in `folder` (mode 0700, made by the caller); `sns` is the emulator's socket."""
    identity = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return LogStore(
        argv=(
            sys.executable,
            "-I",
            "-m",
            "aerodrome.telemetry",
            f"--folder={folder}",
            f"--socket={socket}",
            f"--identity={identity}",
            f"--region={region}",
            f"--account={account_id}",
            f"--most-bytes={most_bytes}",
            f"--longest-days={longest_days}",
            f"--most-metrics-bytes={most_metrics_bytes}",
            f"--sns={sns}",
        ),
        env={"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        cwd=folder,
        socket=socket,
        identity=identity,
    )


def answers(store: LogStore) -> bool:
    """Whether this very store answers."""
    connection = UnixHttpConnection(str(store.socket), PROBE_TIMEOUT)
    try:
        connection.request("GET", HEALTH)
        found = json.loads(connection.getresponse().read(ANSWER_LIMIT))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return isinstance(found, dict) and found.get("log_store") == store.identity


def totals(socket: Path) -> dict[str, Any]:
    """The running totals of metrics, `series`, and of how many points there was no room for: `left_out`.

    Raises:
        OSError: the store does not answer.
    """
    connection = UnixHttpConnection(str(socket), TOTALS_TIMEOUT)
    try:
        connection.request("GET", TOTALS)
        found = json.loads(connection.getresponse().read(TOTALS_LIMIT))
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise OSError("the store of metrics is one of another version: aerodrome down, then up")
    return found
