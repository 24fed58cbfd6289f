"""The gateway's two listeners: their sockets, TLS, and uvicorn servers that `runtime` runs beside the API's.

Ports that the system chose are remembered, because environments are told their own address.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta

import structlog

from aerodrome.clock import Clock
from aerodrome.errors import CallerError
from aerodrome.gateway.app import Gateway, Listener
from aerodrome.gateway.certificates import Certificates
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.handshakes import HandshakeListener
from aerodrome.listening.server import HttpServer
from aerodrome.model.web_address import Ports
from aerodrome.settings import Paths, Settings, split_address

BACKLOG = 2048

KEEP_ALIVE = 75
"""Seconds that a client's idle connection is kept."""

GRACEFUL_SHUTDOWN = 5
"""Seconds that open requests (log streams never end by themselves) may hold up a stop."""

HANDSHAKE_SECONDS = 10.0

LIMITS = ConnectionLimits(total=2000, each_peer=1000, bodies_each_peer=500)
"""Of each listener; many people may share an address."""

RENEWAL_LOOK = timedelta(hours=1)
"""Time between two checks of how long the certificate is still valid."""

log = structlog.get_logger("aerodrome.gateway")


class GatewayServer(HttpServer):
    """One listener; `runtime` handles signals."""

    def __init__(
        self,
        gateway: Gateway,
        listener: Listener,
        bound: HandshakeListener,
        certificates: Certificates,
        clock: Clock,
    ) -> None:
        super().__init__(
            gateway.on(listener),
            LIMITS,
            arrived=bound.done,
            lifespan="on",
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
            ssl_context_factory=lambda _config, _default: certificates.context,
        )
        self._certificates = certificates
        self._clock = clock
        self._renewing: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but a TLS handshake gets less time."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn calls it
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )

        self.servers = [
            await loop.create_server(
                protocol,
                sock=each,
                ssl=self.config.ssl,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=HANDSHAKE_SECONDS,
            )
            for each in sockets or []
        ]
        self._renewing = asyncio.create_task(self._renew())
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        await super().shutdown(sockets)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL_LOOK.total_seconds())
            try:
                if self._certificates.renew(self._clock()):
                    log.info("certificate_loaded")
            except Exception as error:  # noqa: BLE001 - nobody else would renew it
                log.error("certificate_not_renewed", error=str(error))  # noqa: TRY400 - the sentence says it all


def servers(
    gateway: Gateway, listeners: tuple[HandshakeListener, HandshakeListener], certificates: Certificates, clock: Clock
) -> list[tuple[GatewayServer, socket.socket]]:
    """Both listeners, ready to `serve(sockets=[socket])` in one event loop; `listeners` is public and private."""
    return [
        (GatewayServer(gateway, listener, bound, certificates, clock), bound)
        for listener, bound in zip((Listener.PUBLIC, Listener.PRIVATE), listeners, strict=True)
    ]


@contextlib.contextmanager
def bound(settings: Settings) -> Iterator[tuple[HandshakeListener, HandshakeListener]]:
    """The public and the private socket, listening; remembers their ports.

    Raises:
        CallerError: an address cannot be listened on.
    """
    last = _last_ports(settings.paths)
    with contextlib.ExitStack() as stack:
        public = stack.enter_context(_bound("AERODROME_GATEWAY_PUBLIC", settings.gateway_public, last.public))
        private = stack.enter_context(_bound("AERODROME_GATEWAY_PRIVATE", settings.gateway_private, last.private))
        found = ports((public, private))
        settings.paths.gateway_ports_file.write_text(f"{found.public} {found.private}")
        yield public, private


def ports(listeners: tuple[HandshakeListener, HandshakeListener]) -> Ports:
    """The ports that the sockets listen on."""
    public, private = listeners
    return Ports(public=public.getsockname()[1], private=private.getsockname()[1])


@contextlib.contextmanager
def _bound(setting: str, address: str, last: int) -> Iterator[HandshakeListener]:
    host, port = split_address(address)
    try:
        listener = _listening(host, port or last)
    except OSError as error:
        if port or not last:
            raise CallerError(
                f"{setting} is {address}, which cannot be listened on ({error.strerror}). "
                "Stop the program that listens there, or set another address."
            ) from error
        listener = _listening(host, 0)  # another program took the remembered one
    with listener:
        yield listener


def _listening(host: str, port: int) -> HandshakeListener:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer waits 40 ms.
    listener = HandshakeListener(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _last_ports(paths: Paths) -> Ports:
    """The ports that the system chose last time; 0 at the first start."""
    try:
        public, private = paths.gateway_ports_file.read_text().split()
        return Ports(public=int(public), private=int(private))
    except (OSError, ValueError):
        return Ports(public=0, private=0)
