"""The gateway as an ASGI application: which environment, which listener, who asks, and then who answers.

`serving` runs it behind TLS, once for each listener. A request passes in this order: host, listener, path, the
gateway's own pages, session, origin, Airflow. It is written in bare ASGI, because every request to Airflow passes
through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import StrEnum

import structlog
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aerodrome import forwarding
from aerodrome.errors import RetryError
from aerodrome.gateway import airflow_paths, auditing, csrf, hosts, login, pages
from aerodrome.gateway.airflow_tokens import Tokens
from aerodrome.gateway.commands import CliEndpoint
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.gateway.environment_cache import EnvironmentCache
from aerodrome.gateway.ledger_threads import LedgerThreads
from aerodrome.gateway.proxy import Proxy
from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest
from aerodrome.gateway.sessions import RevokedError, Sessions
from aerodrome.ledger.logins import Login
from aerodrome.model import web_address
from aerodrome.model.audit import AuditKind
from aerodrome.model.environment import Environment

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger("aerodrome.gateway")


class Listener(StrEnum):
    """The two addresses that the gateway answers on."""

    PUBLIC = "public"
    PRIVATE = "private"

    def answers(self, environment: Environment) -> bool:
        """Whether the environment is answered here."""
        mode = environment.spec.webserver_access_mode
        only = web_address.PRIVATE_ONLY if self is Listener.PUBLIC else web_address.PUBLIC_ONLY
        return mode != only


class Gateway:
    """One gateway for both listeners; the last that ends closes it."""

    def __init__(self, deps: GatewayDependencies) -> None:
        self._deps = deps
        self._threads = LedgerThreads()
        self._directory = EnvironmentCache(deps.environments, self._threads, changed=self._forget)
        self._sessions = Sessions(deps, self._threads)
        self._commands = CliEndpoint(deps, self._threads)
        self._proxy = Proxy(deps.web_server, Tokens(deps.minter), deps.clock)
        self._closing: set[asyncio.Task[None]] = set()
        self._listeners = 0

    def on(self, listener: Listener) -> ASGIApp:
        """The application of one listener."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._answer(listener, scope, receive, send)
            elif scope["type"] == "lifespan":
                await self._live(receive, send)

        return application

    async def close(self) -> None:
        """End connections and threads."""
        await self._directory.close()
        for pool in self._proxy.keep(()):
            await pool.close()
        await asyncio.gather(*self._closing)
        self._threads.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._listeners += 1
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._listeners -= 1
        if not self._listeners:
            await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, listener: Listener, scope: Scope, receive: Receive, send: Send) -> None:
        visit: GatewayRequest | None = None
        try:
            visit = await self._visit(listener, scope, receive, send)
            response = await self._own_or_airflows(visit)
        except GatewayRefusal as refused:
            response = pages.refusal(visit, refused)
        except forwarding.GoneError:
            return
        except Exception:
            log.exception("request_failed")
            response = pages.refusal(visit, GatewayRefusal(500, "The gateway failed; its log says why."))
        if response is not None:
            await response(scope, receive, send)

    async def _visit(self, listener: Listener, scope: Scope, receive: Receive, send: Send) -> GatewayRequest:
        """The request, when its host names an environment that is answered on this listener."""
        named = [value for name, value in scope["headers"] if name == b"host"]
        host = hosts.parse(named[0].decode("latin-1"), self._deps.settings.domain) if len(named) == 1 else None
        environment = await self._directory.find(host.identifier) if host else None
        if host is None or environment is None or not listener.answers(environment):
            raise GatewayRefusal(404, "No environment answers at this address.")
        try:
            path = airflow_paths.canonical(scope["raw_path"])
        except airflow_paths.RefusedPathError:
            path = scope["raw_path"].decode("latin-1")
            visit = GatewayRequest(scope, receive, send, host, environment, path)
            raise self._refused(visit, 400, "The path is not written in its plain form.") from None
        return GatewayRequest(scope, receive, send, host, environment, path)

    async def _own_or_airflows(self, visit: GatewayRequest) -> Response | None:
        """The gateway's own answer; None when Airflow's has been given."""
        if visit.method not in METHODS:
            raise GatewayRefusal(
                405, "This method is not one of Airflow's.", headers={"allow": ", ".join(sorted(METHODS))}
            )
        own = airflow_paths.own(visit.path)
        if own is not None:
            return await self._own(visit, own)
        if airflow_paths.is_blocked(visit.path):
            raise self._refused(visit, 404, "This part of Airflow is not reached from outside.")
        user = await self._user(visit)
        if visit.line <= 2 and visit.path.rstrip("/") in {"/login", "/logout"}:  # noqa: PLR2004 - Airflow 2 and 1.10
            # Airflow's login page knows no gateway, and its logout only forgets what our next request tells it again.
            return RedirectResponse("/" if "login" in visit.path else "/aws_mwaa/logout", status_code=302)
        await self._pass_on(visit, user)
        return None

    async def _own(self, visit: GatewayRequest, name: str) -> Response:
        """A page or an endpoint below `/aws_mwaa/`."""
        is_read = visit.method in {"GET", "HEAD"}
        if name == "aws-console-sso" and is_read:
            return pages.log_in()
        if name == "login" and visit.method == "POST":
            return await login.log_in(visit, self._deps, self._sessions)
        if name == "logout" and (is_read or visit.method == "POST"):
            return await login.log_out(visit, self._deps, self._sessions)
        if name == "cli" and visit.method == "POST":
            return await self._commands.answer(visit)
        raise GatewayRefusal(404, "The gateway has no such page.")

    async def _user(self, visit: GatewayRequest) -> Login:
        """Who is logged in and sent this request by their own will."""
        secrets, by_cookie = login.presented(visit)
        try:
            found = await self._sessions.find(visit.environment, secrets, visit.address)
        except RevokedError:
            raise self._refused(visit, 403, "Your permission to use this environment was withdrawn.") from None
        if found is None:
            if secrets or visit.method not in csrf.READS:
                raise self._refused(visit, 401, "There is no session, or it has ended.")
            raise GatewayRefusal(401, "There is no session.")
        if by_cookie and visit.method not in csrf.READS and not csrf.is_own(visit.headers, visit.host):
            raise self._refused(visit, 403, "Another site's page sent this request.", user=found)
        return found

    async def _pass_on(self, visit: GatewayRequest, user: Login) -> None:
        status = None
        try:
            await self._awaken(visit, user)
            status = await self._proxy.pass_on(visit, user, visit.scope["raw_path"])
        except GatewayRefusal as refused:
            status = refused.status
            raise
        finally:
            if visit.method not in csrf.READS:
                said = "the client left" if status is None else f"answered with {status}"
                auditing.record(
                    self._deps,
                    visit,
                    AuditKind.WEB_REQUEST,
                    f"Passed to Airflow as {user.role}: {said}.",
                    principal=user.principal,
                    allowed=status not in {401, 403},
                    detail={"status": status, "role": user.role},
                )

    async def _awaken(self, visit: GatewayRequest, user: Login) -> None:
        """Wait until the environment is awake. A page that refreshes itself neither wakes it nor keeps it awake."""
        environment = visit.environment
        if visit.is_refresh:
            if environment.hibernation.is_down:
                raise GatewayRefusal(503, f"{environment.name} hibernates. Load the page anew to wake it.")
            return
        try:
            await self._deps.awake(environment, f"{user.principal.airflow_name} uses its web server.")
        except RetryError as error:
            seconds = str(max(1, round(error.delay)))
            refresh = {"refresh": seconds} if visit.wants_page else {}
            raise GatewayRefusal(503, str(error), headers={"retry-after": seconds, **refresh}) from None

    def _refused(
        self, visit: GatewayRequest, status: int, sentence: str, *, user: Login | None = None
    ) -> GatewayRefusal:
        """A refusal, recorded in the audit log."""
        principal = user.principal if user else None
        auditing.record(self._deps, visit, AuditKind.WEB_REQUEST, sentence, principal=principal, allowed=False)
        return GatewayRefusal(status, sentence, headers={"www-authenticate": "Bearer"} if status == 401 else None)  # noqa: PLR2004

    def _forget(self, known: Mapping[str, Environment]) -> None:
        """Close what served environments that no longer exist."""
        for pool in self._proxy.keep(known):
            task = asyncio.create_task(pool.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
