"""Where an environment's web server is found: its host name, and the port when it is not TLS's own.

The API tells clients (`WebserverUrl`, `WebServerHostname`), Airflow is told its base URL, the gateway reads the name
back out of requests (`gateway.hosts`). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from aerodrome.model.environment import Environment
from aerodrome.settings import Settings

HTTPS_PORT = 443

PUBLIC_ONLY = "PUBLIC_ONLY"
PRIVATE_ONLY = "PRIVATE_ONLY"
PUBLIC_AND_PRIVATE = "PUBLIC_AND_PRIVATE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The TCP ports that the gateway's two listeners really have."""

    public: int
    private: int


def host(environment: Environment, settings: Settings) -> str:
    """The host name of an environment's web server."""
    return f"{environment.identifier}.{settings.domain}"


def web_address(environment: Environment, settings: Settings, ports: Ports) -> str:
    """Host name and port of an environment's web server as they stand in a URL."""
    return of(environment.identifier, environment.spec.webserver_access_mode, settings, ports)


def of(identifier: str, access_mode: str, settings: Settings, ports: Ports) -> str:
    """The same by its short id and MWAA's WebserverAccessMode; one that is on both listeners is told the public one."""
    port = ports.private if access_mode == PRIVATE_ONLY else ports.public
    name = f"{identifier}.{settings.domain}"
    return name if port == HTTPS_PORT else f"{name}:{port}"
