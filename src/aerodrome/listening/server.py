"""The uvicorn server with our protocol, which all our listeners under uvicorn have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.protocol import bounded


class HttpServer(uvicorn.Server):
    """One listener of a process that may have several; the process handles signals.

    `arrived` is told the descriptor of each connection that the application may hear of; `options` are uvicorn's.
    """

    def __init__(
        self,
        application: Any,
        limits: ConnectionLimits,
        *,
        arrived: Callable[[int], None] = lambda _: None,
        **options: Any,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=bounded(limits, arrived),  # type: ignore[arg-type]  # it makes what is asked for
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # a client's X-Forwarded-For would be its address in policies and in the audit log
                **options,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
