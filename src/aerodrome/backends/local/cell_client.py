"""The client of warm processes and cells: over a unix socket, a request and its answer are one line of JSON each.

`aerodrome.cell` defines the protocol; this side only asks.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aerodrome.errors import RetryError
from aerodrome.model.observed import DiskImage, LimitMet, Unit

ANSWER_LIMIT = 4 * 2**20
"""Bytes that an answer may have; a longer one is the other side's fault."""


def ask(path: Path, request: Mapping[str, Any], *, seconds: float = 5.0) -> dict[str, Any] | None:
    """The answer to a request; None when nobody listens.

    Raises:
        RetryError: somebody listens but gives no valid answer in time.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(seconds)
            client.connect(str(path))
            client.sendall(json.dumps(request).encode() + b"\n")
            line = _line(client)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise RetryError(f"no answer at {path}: {error}") from error
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise RetryError(f"no valid answer at {path}") from error
    if not answer.get("ok"):
        raise RetryError(f"refused at {path}: {answer.get('error', 'no reason given')}")
    return answer


def answers(path: Path) -> bool:
    """Whether somebody listens and gives a valid answer."""
    try:
        return ask(path, {"op": "status"}) is not None
    except RetryError:
        return False


def units(answer: Mapping[str, Any]) -> tuple[Unit, ...]:
    """The units in a cell's status."""
    return tuple(
        Unit(
            name=unit["name"],
            state=unit["state"],
            restarts=unit["restarts"],
            status_text=unit.get("status_text") or "",
            last_exit=_in_words(unit.get("last_exit")),
            exited_at=(unit.get("last_exit") or {}).get("at"),
            started_at=unit.get("started_at"),
            holds=unit.get("holds"),
            tells_holds="holds" in unit,
            hung=(unit.get("last_exit") or {}).get("hung", ""),
            limits_met=_limits_met(unit),
        )
        for unit in answer["units"]
    )


def pids(answer: Mapping[str, Any]) -> dict[str, int]:
    """The process ids of the units that have a process, by the units' names."""
    return {unit["name"]: unit["pid"] for unit in answer["units"] if unit["pid"] is not None}


def _line(client: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = client.recv(65536)
        if not part:
            break
        received += part
        if len(received) > ANSWER_LIMIT:
            raise OSError(f"answer of more than {ANSWER_LIMIT} bytes")
    return received


def images(answer: Mapping[str, Any]) -> tuple[DiskImage, ...]:
    """The disk images in a cell's status; a cell of an earlier Aerodrome has none."""
    return tuple(
        DiskImage(name=each["name"], size=each["size"], free=each["free"], full_at=each["full_at"])
        for each in answer.get("images", ())
    )


def _limits_met(unit: Mapping[str, Any]) -> tuple[LimitMet, ...]:
    """A cell of an earlier Aerodrome tells of the last one alone."""
    last = unit.get("limit_met")
    found = unit.get("limits_met", [last] if last else [])
    return tuple(LimitMet(limit=each["limit"], allowed=each["allowed"], at=each["at"]) for each in found)


def _in_words(last_exit: Mapping[str, Any] | None) -> str:
    if not last_exit:
        return ""
    if last_exit.get("hung"):
        return f"it {last_exit['hung']}"
    if last_exit.get("signal"):
        return f"killed by signal {last_exit['signal']}"
    if last_exit.get("code") is None:
        return "an end that nobody saw"  # a child of the cell's predecessor, or a unit that could not be started
    return f"exit code {last_exit['code']}"
