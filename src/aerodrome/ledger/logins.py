"""Login tokens and web sessions: what was issued, to whom, for which environment, and until when.

The API issues tokens; the gateway redeems them and keeps its sessions here. Only digests are stored, so nobody who
reads the ledger can log in. Methods block; each is one transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from aerodrome.ledger.schema import login_token, web_session
from aerodrome.model.principals import Principal, PrincipalKind

Kind = Literal["web", "cli"]

TOKEN_LIFETIME = timedelta(seconds=60)
"""As on MWAA, for both kinds of token."""

SESSION_LIFETIME = timedelta(hours=12)
"""As on MWAA."""

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who a token or a session stands for."""

    role: str | None
    """Airflow's role; None for a CLI token."""
    principal: Principal
    issued_at: datetime
    """When the token was issued, or the session opened. If that was before the environment was created, the login was
    for an earlier environment of the same name."""
    expires_at: datetime


class Logins:
    """The ledger's tokens and sessions, over one engine. `environment` is always an environment's name."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def issue(
        self,
        kind: Kind,
        environment: str,
        role: str | None,
        principal: Principal,
        *,
        now: datetime,
        token: str | None = None,
    ) -> str:
        """A token that can be redeemed once, within a minute. If `token` is given, it is used; it must be secret."""
        issued = token or secrets.token_urlsafe(TOKEN_BYTES)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(login_token).where(login_token.c.expires_at <= now))
            connection.execute(
                sa.insert(login_token).values(
                    digest=_digest(issued),
                    kind=kind,
                    environment=environment,
                    role=role,
                    principal=_document(principal, issued_at=now),
                    expires_at=_sooner(now + TOKEN_LIFETIME, principal),
                )
            )
        return issued

    def redeem(self, token: str, kind: Kind, environment: str, *, now: datetime) -> Login | None:
        """Whom the token was issued to; None when it is not valid for this kind and environment.

        If several requests redeem a token at once, one succeeds. A token that is used in the wrong place is spent too.
        """
        statement = sa.delete(login_token).where(login_token.c.digest == _digest(token)).returning(login_token)
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None or row.kind != kind or row.environment != environment or row.expires_at <= now:
            return None
        return _login(row)

    def open_session(self, environment: str, role: str, principal: Principal, *, now: datetime) -> str:
        """A session of twelve hours, or until the principal's own credentials end; returns its secret."""
        secret = secrets.token_urlsafe(TOKEN_BYTES)
        with self._engine.begin() as connection:
            connection.execute(sa.delete(web_session).where(web_session.c.expires_at <= now))
            connection.execute(
                sa.insert(web_session).values(
                    digest=_digest(secret),
                    environment=environment,
                    role=role,
                    principal=_document(principal, issued_at=now),
                    opened_at=now,
                    expires_at=_sooner(now + SESSION_LIFETIME, principal),
                )
            )
        return secret

    def session(self, token: str, environment: str, *, now: datetime) -> Login | None:
        """Whose session it is; None when this environment has no such session, or it has ended."""
        found = sa.and_(
            web_session.c.digest == _digest(token),
            web_session.c.environment == environment,
            web_session.c.expires_at > now,
        )
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(web_session).where(found)).one_or_none()
        return _login(row) if row else None

    def close_session(self, token: str) -> None:
        """End a session; one that does not exist is ignored."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(web_session).where(web_session.c.digest == _digest(token)))


def forget(connection: sa.Connection, environment: str) -> None:
    """End every session of an environment that is removed, and remove the tokens that could open another."""
    connection.execute(sa.delete(web_session).where(web_session.c.environment == environment))
    connection.execute(sa.delete(login_token).where(login_token.c.environment == environment))


def _digest(token: str) -> bytes:
    # The tokens are random and long, so a fast digest without salt gives nothing away.
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _sooner(end: datetime, principal: Principal) -> datetime:
    return end if principal.expires_at is None else min(end, principal.expires_at)


def _login(row: Any) -> Login:
    return Login(
        role=row.role,
        principal=_principal(row.principal),
        issued_at=datetime.fromisoformat(row.principal["login_issued_at"]),
        expires_at=row.expires_at,
    )


def _document(principal: Principal, *, issued_at: datetime) -> dict[str, Any]:
    return {
        "kind": str(principal.kind),
        "account": principal.account,
        "arn": principal.arn,
        "unique_id": principal.unique_id,
        "name": principal.name,
        "session_name": principal.session_name,
        "role_arn": principal.role_arn,
        "session_policies": list(principal.session_policies),
        "tags": dict(principal.tags),
        "issued_at": principal.issued_at and principal.issued_at.isoformat(),
        "expires_at": principal.expires_at and principal.expires_at.isoformat(),
        "environment": principal.environment,
        "login_issued_at": issued_at.isoformat(),
    }


def _principal(document: Mapping[str, Any]) -> Principal:
    fields = dict(document)
    del fields["login_issued_at"]
    fields["kind"] = PrincipalKind(fields["kind"])
    fields["session_policies"] = tuple(fields["session_policies"])
    for name in ("issued_at", "expires_at"):
        fields[name] = fields[name] and datetime.fromisoformat(fields[name])
    return Principal(**fields)
