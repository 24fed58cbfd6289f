"""HTTP/1.1 as the API's listener reads it: uvicorn's careful parser, with bounds on those who say nothing.

`runtime` gives it to uvicorn. h11 bounds heads in size; here they are bounded in time, and connections in number: code
of an environment reaches this listener too, and a control plane without descriptors answers nobody. What a body may
take is `bodies` to say, and of what is passed on, the other side.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""For a whole head to arrive, the first one or a later one."""

MOST_CONNECTIONS = 512
"""Beyond it the one that has sent no whole head for the longest makes room, and the newest when there is none."""

_QUIET = logging.getLogger("aerodrome.api.protocol")
_QUIET.setLevel(logging.ERROR)  # whoever sends rubbish shall not fill the log


class BoundedProtocol(H11Protocol):
    """One connection of a client."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.logger = _QUIET
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def awaited_since(self) -> float | None:
        """When the head that is still to come began to be waited for; None while a request is served."""
        return None if self._head_timer is None else self._head_timer.when()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._head_timer is None and not self.transport.is_closing():
            self._await_head()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _make_room(self) -> None:
        waiting = [(since, each) for each in self.connections if (since := getattr(each, "awaited_since", None))]
        _, oldest = min(waiting, key=lambda pair: pair[0], default=(None, self))
        oldest.transport.abort()
