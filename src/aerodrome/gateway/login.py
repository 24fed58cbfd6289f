"""Web login and logout: the page for browsers, the endpoints for programs, the session's cookie.

Addresses and names are MWAA's. A client posts a token by CreateWebLoginToken as the form field `token`, and gets a
cookie `session` (Airflow 2 and 1.10) or `_token` (Airflow 3). The REST API also takes that value as a bearer token.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.responses import Response

from aerodrome.gateway import auditing, bodies, cookies, csrf, pages
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest
from aerodrome.gateway.sessions import RevokedError, Sessions
from aerodrome.ledger.logins import SESSION_LIFETIME
from aerodrome.model.audit import AuditKind

LONGEST_FORM = 16 * 1024
LONGEST_TOKEN = 4096

BEARER = b"bearer "

_FORM = b"application/x-www-form-urlencoded"


def presented(visit: GatewayRequest) -> tuple[list[str], bool]:
    """The session secrets of a request, and whether they came as a cookie, which browsers send without being asked."""
    authorization = visit.headers.get(b"authorization", b"")
    is_rest = visit.path.startswith("/api/v2/")
    if visit.line == 3 and is_rest and authorization[: len(BEARER)].lower() == BEARER:  # noqa: PLR2004 - Airflow 3
        return [authorization[len(BEARER) :].strip().decode("latin-1")], False
    return cookies.values(visit.all(b"cookie"), cookies.SESSION[visit.line]), True


async def log_in(visit: GatewayRequest, deps: GatewayDependencies, sessions: Sessions) -> Response:
    """Turn a login token into a session."""
    if not csrf.is_own(visit.headers, visit.host):
        raise GatewayRefusal(403, "Another site's page sent this login; open the link yourself.")
    token = _token(visit, await bodies.read(visit, LONGEST_FORM))
    opened = await sessions.log_in(visit, token) if token else None
    if opened is None:
        sentence = "The login token is not valid: it lives a minute, works once, and only for its own environment."
        auditing.record(deps, visit, AuditKind.WEB_LOGIN, sentence, allowed=False)
        raise GatewayRefusal(401, sentence)
    secret, login = opened
    user = login.principal.airflow_name
    auditing.record(
        deps,
        visit,
        AuditKind.WEB_LOGIN,
        f"{user} logged in as {login.role}.",
        principal=login.principal,
        detail={"role": login.role},
    )
    answer = pages.document(200, {"user": user, "role": login.role})
    seconds = int(SESSION_LIFETIME.total_seconds())
    if login.principal.expires_at is not None:
        seconds = min(seconds, max(0, int((login.principal.expires_at - deps.clock()).total_seconds())))
    answer.headers["set-cookie"] = cookies.session(cookies.SESSION[visit.line], secret, seconds)
    return answer


async def log_out(visit: GatewayRequest, deps: GatewayDependencies, sessions: Sessions) -> Response:
    """Close the session that the request carries; Airflow's own menu leads here."""
    if not csrf.is_own(visit.headers, visit.host):
        raise GatewayRefusal(403, "Another site's page led here; log out from Airflow's menu.")
    name = cookies.SESSION[visit.line]
    secrets = cookies.values(visit.all(b"cookie"), name)
    try:
        login = await sessions.find(visit.environment, secrets, visit.address)
    except RevokedError:
        login = None  # it has ended already; remove what is left of it
    await sessions.log_out(secrets)
    if login is not None:
        who = f"{login.principal.airflow_name} logged out."
        auditing.record(deps, visit, AuditKind.WEB_LOGOUT, who, principal=login.principal)
    answer = pages.logged_out(visit)
    answer.headers["set-cookie"] = cookies.ended(name)
    return answer


def _token(visit: GatewayRequest, body: bytes) -> str | None:
    """The one form field `token`; None when there is not exactly one of reasonable length."""
    kind = visit.headers.get(b"content-type", _FORM).partition(b";")[0].strip().lower()
    if kind != _FORM:
        raise GatewayRefusal(415, "Send the token as a form: application/x-www-form-urlencoded, one field `token`.")
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=16)
    except ValueError:
        return None
    values = fields.get("token", [])
    return values[0] if len(values) == 1 and len(values[0]) <= LONGEST_TOKEN else None
