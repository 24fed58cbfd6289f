"""The control plane as a process: it serves the applications that `assembly` makes, and ends in order.

`aerodrome up` starts this module detached. Nothing that it starts is its child, so its death ends no environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator

if __name__ == "__main__":
    # structlog loads rich for pretty terminals where it is installed; nobody colours these lines.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]

import structlog

from aerodrome import assembly, clock, log
from aerodrome.api import app as api
from aerodrome.assembly import Applications
from aerodrome.backends.local import moves
from aerodrome.backends.local.emulator_place import EmulatorPlace
from aerodrome.errors import AerodromeError, CallerError
from aerodrome.gateway import serving
from aerodrome.gateway.certificates import Certificates
from aerodrome.gateway.serving import GatewayServer
from aerodrome.keeper import Keeper
from aerodrome.listening.server import HttpServer
from aerodrome.operator import app as operator
from aerodrome.otlp.headers import HeadersFile
from aerodrome.services import folders
from aerodrome.settings import Paths, Settings

GRACEFUL_SHUTDOWN = 5
"""Seconds that open requests may hold up a stop."""

logger = structlog.get_logger("runtime")


def serve(settings: Settings) -> None:
    """Be the control plane until told to end (SIGTERM, SIGINT). Services and environments go on afterwards.

    Raises:
        CallerError: the address is not loopback, its port is taken, or the collector's headers cannot be read.
    """
    gc.freeze()  # what was imported stays: it need not be looked through again and again
    log.configure()
    HeadersFile(settings.otlp_headers).read()
    folders.make(settings.paths.data)
    folders.make(settings.paths.run)
    with (
        folders.locked(settings.paths.run / "control-plane.lock", timeout=1.0),
        _listener(settings) as listener,
        serving.bound(settings) as gateway_listeners,
    ):
        own = moves.settled(settings)  # before anything is started under a uid
        certificates = Certificates(settings, now=clock.now())
        keeper = Keeper(settings)
        keeper.start(EmulatorPlace(settings.paths, own))
        port, ports = listener.getsockname()[1], serving.ports(gateway_listeners)
        with assembly.assembled(settings, keeper, port=port, gateway_ports=ports) as applications:
            gateway = serving.servers(applications.gateway, gateway_listeners, certificates, clock.now)
            asyncio.run(_serve(applications, listener, gateway, settings.paths))
        keeper.close()


async def _serve(
    applications: Applications,
    listener: socket.socket,
    gateway: list[tuple[GatewayServer, socket.socket]],
    paths: Paths,
) -> None:
    """Answer on all sockets until a signal comes."""
    with _operator_socket(paths) as own:
        servers: dict[HttpServer, socket.socket] = dict(gateway)
        servers |= {
            HttpServer(applications.front, api.LIMITS, timeout_graceful_shutdown=GRACEFUL_SHUTDOWN): listener,
            HttpServer(applications.operator, operator.LIMITS, timeout_graceful_shutdown=GRACEFUL_SHUTDOWN): own,
        }
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _leave, *servers)
        paths.port_file.write_text(str(listener.getsockname()[1]))
        logger.info("serving", port=listener.getsockname()[1])
        await asyncio.gather(*(server.serve(sockets=[socket]) for server, socket in servers.items()))


def _leave(*servers: HttpServer) -> None:
    for server in servers:
        server.leave()


@contextlib.contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The API's socket, bound before anything else is started."""
    if not ipaddress.ip_address(settings.host).is_loopback:
        raise CallerError(
            f"AERODROME_HOST is {settings.host}: only a loopback address such as 127.0.0.1 is allowed, "
            "because the API speaks plain HTTP"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer may wait 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port or _last_port(settings.paths)))
        except OSError as error:
            raise CallerError(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). "
                "Stop the program that listens there, or set AERODROME_PORT."
            ) from error
        listener.listen(128)
        yield listener


def _last_port(paths: Paths) -> int:
    """The port that the system chose last time, because units know it; 0 at the first start."""
    try:
        return int(paths.port_file.read_text())
    except (OSError, ValueError):
        return 0


@contextlib.contextmanager
def _operator_socket(paths: Paths) -> Iterator[socket.socket]:
    path = paths.operator_socket
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(16)
        yield listener
    path.unlink(missing_ok=True)


def main() -> int:
    """The detached control plane's entry point; an error with a sentence goes to the log's last line."""
    try:
        serve(Settings())
    except AerodromeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
