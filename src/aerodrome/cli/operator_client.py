"""The client of the operator's socket: what `status`, `events` and `database` ask the running control plane.

The socket is in the run folder and has mode 0600, so whoever may open it may ask.
"""

from __future__ import annotations

import http.client
import json
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aerodrome.errors import AerodromeError, CallerError, RetryError
from aerodrome.settings import Settings

SECONDS = 20.0
"""How long an answer may take."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; the standard library lacks only the connecting."""

    def __init__(self, path: Path) -> None:
        super().__init__("operator", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


def ask(settings: Settings, method: str, path: str) -> Any:
    """The JSON answer of the control plane.

    Raises:
        CallerError: the control plane does not run, or refuses the request.
        RetryError: it runs but gives no answer.
    """
    connection = _UnixConnection(settings.paths.operator_socket)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (FileNotFoundError, ConnectionRefusedError):
        raise CallerError("Aerodrome is not running. Start it with: aerodrome up") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise RetryError(f"The control plane gave no answer ({error}); its log is {settings.paths.logs}") from error
    finally:
        connection.close()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise CallerError(document.get("message", f"refused with status {answer.status}"))
    return document


def port(settings: Settings) -> int:
    """The API's port; if the system chose it, the control plane says which."""
    return settings.port or int(ask(settings, "GET", "/status")["port"])


def is_up(settings: Settings) -> bool:
    """Whether a control plane answers."""
    try:
        ask(settings, "GET", "/health")
    except AerodromeError:
        return False
    return True
