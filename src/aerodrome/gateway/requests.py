"""One request to one environment, and the way to refuse it. `pages` says what a page or a JSON answer holds.

`app` builds it once per request, and everybody reads it; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from aerodrome.airflow import versions
from aerodrome.gateway.hosts import Host
from aerodrome.model.environment import Environment


class GatewayRefusal(Exception):  # noqa: N818 - an answer, not an error
    """Ends a request with a status and a sentence fit for a stranger."""

    def __init__(self, status: int, sentence: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class GatewayRequest:
    """A request whose host names an environment that is answered on this listener."""

    scope: Scope
    receive: Receive
    send: Send
    host: Host
    environment: Environment
    path: str
    """Decoded and canonical."""
    headers: Mapping[bytes, bytes] = field(init=False)
    """The last of each name; a header that may be repeated is read from the scope."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", dict(self.scope["headers"]))

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def address(self) -> str:
        """The client's IP address."""
        client: tuple[str, int] | None = self.scope.get("client")
        return client[0] if client else ""

    @property
    def line(self) -> int:
        """The line of Airflow that the environment runs."""
        return versions.lookup(self.environment.spec.airflow_version).line

    @property
    def query(self) -> bytes:
        found: Any = self.scope["query_string"]
        return bytes(found)

    def all(self, name: bytes) -> list[bytes]:
        """The values of every header of that name."""
        return [value for own, value in self.scope["headers"] if own == name]

    @property
    def is_refresh(self) -> bool:
        """True for what a page's script reads: nobody needs to be there for that."""
        is_script = self.headers.get(b"sec-fetch-dest") == b"empty" and b"sec-fetch-mode" in self.headers
        return is_script and self.method in {"GET", "HEAD"}

    @property
    def wants_page(self) -> bool:
        """True for a browser that navigates, false for programs and scripts of a page."""
        return self.method in {"GET", "HEAD"} and b"text/html" in self.headers.get(b"accept", b"")
