"""Requests of people who are logged in, to Airflow's web server and back.

One pool of connections for each environment, so that one whose server hangs takes none from another. When another
revision's web server takes over, new requests go there, over a pool of its own, and those under way end where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import aiohttp
import structlog
from yarl import URL

from aerodrome import forwarding
from aerodrome.backends.contract import WebServer
from aerodrome.clock import Clock
from aerodrome.gateway import headers
from aerodrome.gateway.airflow_tokens import Tokens
from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest
from aerodrome.ledger.logins import Login
from aerodrome.model.tenant import Tenant

MOST_CONNECTIONS = 256
"""To one environment's web server; open log streams hold one each."""

CONNECT_SECONDS = 10.0
"""Until a connection is free or made."""

KEEP_ALIVE = {1: 1.5, 2: 1.5, 3: 60.0}
"""Seconds that an idle connection is kept, by the line of Airflow: less than its server keeps it (gunicorn: 2)."""

LONGEST_BODY = 64 * 1024 * 1024
"""Bytes of a request; Airflow's largest are files of variables and connections."""

BODY_SECONDS = 120.0
"""Seconds for a whole body to arrive."""

log = structlog.get_logger("aerodrome.gateway")


@dataclass(eq=False)
class _Pool:
    """Connections to one web server."""

    server: WebServer
    session: aiohttp.ClientSession
    users: int = 0
    """Requests under way."""


class Proxy:
    """The pools; `close` them at the end."""

    def __init__(self, web_server: Callable[[Tenant], WebServer], tokens: Tokens, clock: Clock) -> None:
        self._web_server = web_server
        self._tokens = tokens
        self._clock = clock
        self._pools: dict[str, _Pool] = {}
        self._stale: list[aiohttp.ClientSession] = []
        """Of servers that another has replaced, with no request under way."""

    async def pass_on(self, visit: GatewayRequest, login: Login, raw_path: bytes) -> int | None:
        """Answer with what Airflow answers; its status, or None when the client went before.

        Raises:
            GatewayRefusal: it gives no answer, or the request or the answer may not pass.
        """
        environment = visit.environment
        token = self._tokens.get(
            environment=environment.name,
            subject=login.principal.airflow_name,
            role=login.role or "",
            now=self._clock(),
        )
        sent = headers.towards(visit.scope["headers"], token=token, host=visit.host, address=visit.address)
        body = forwarding.Body(visit.scope, visit.receive, limit=LONGEST_BODY, seconds=BODY_SECONDS)
        target = raw_path + b"?" + visit.query if visit.query else raw_path
        url = URL("http://airflow" + target.decode("latin-1").replace("#", "%23"), encoded=True)

        def returned(status: int, given: forwarding.Headers) -> tuple[int, list[tuple[bytes, bytes]]]:
            return status, headers.back(given, host=visit.host)

        pool = self._pool(visit)
        pool.users += 1
        try:
            return await forwarding.exchange(pool.session, visit.method, url, sent, body, visit.send, returned=returned)
        except forwarding.TooLongError:
            raise GatewayRefusal(413, f"The body is longer than {LONGEST_BODY} bytes.") from None
        except forwarding.TooSlowError:
            raise GatewayRefusal(408, f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from None
        except headers.ForeignRedirectError as error:
            log.warning("foreign_redirect", environment=environment.name, to=str(error)[:256])
            raise GatewayRefusal(
                502, "Airflow's answer leads to another host, which is not followed from here."
            ) from None
        except forwarding.UnansweredError as error:
            raise _unanswered(visit, error) from None
        finally:
            pool.users -= 1
            if not pool.users and self._pools.get(environment.identifier) is not pool:
                await pool.session.close()

    def keep(self, identifiers: Collection[str]) -> list[aiohttp.ClientSession]:
        """Forget the pools of environments and web servers that are no more; whoever calls closes them."""
        gone = [identifier for identifier in self._pools if identifier not in identifiers]
        stale, self._stale = self._stale, []
        return [*stale, *(self._pools.pop(identifier).session for identifier in gone)]

    def _pool(self, visit: GatewayRequest) -> _Pool:
        environment = visit.environment
        known = self._pools.get(environment.identifier)
        server = self._web_server(environment.tenant)
        if known is not None and known.server == server:
            return known
        connector = server.connector(limit=MOST_CONNECTIONS, keepalive_timeout=KEEP_ALIVE[visit.line])
        pool = _Pool(server, forwarding.client(connector, connect=CONNECT_SECONDS))
        self._pools[environment.identifier] = pool
        if known is not None and not known.users:
            self._stale.append(known.session)
        return pool


def _unanswered(visit: GatewayRequest, error: forwarding.UnansweredError) -> GatewayRefusal:
    name, status = visit.environment.name, str(visit.environment.status)
    log.warning("web_server_gave_no_answer", environment=name, status=status, error=str(error))
    if not error.has_reached:
        sentence = f"The environment's web server is not up (status {status}). Try again in a moment."
        return GatewayRefusal(503, sentence, headers={"retry-after": "2"})
    return GatewayRefusal(502, "The environment's web server broke off; the request may have taken effect.")
