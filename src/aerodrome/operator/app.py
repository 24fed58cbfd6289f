"""The HTTP application on the operator's socket, whose mode is 0600; the command line asks it.

It holds no secret but the one that `POST /databases/<name>` makes for its caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy.exc
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aerodrome import private_files
from aerodrome.backends.local.backend import LocalBackend
from aerodrome.clock import Clock
from aerodrome.errors import AerodromeError, CallerError, NotFoundError
from aerodrome.identity import authorizer
from aerodrome.identity.authorizer import Authorizer, principal_context
from aerodrome.ledger import rows
from aerodrome.ledger.audit import Audit
from aerodrome.ledger.environments import Environments
from aerodrome.model.change import Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.iam import grants
from aerodrome.model.iam.directory import Directory
from aerodrome.model.observed import NO_CELL
from aerodrome.model.principals import Principal
from aerodrome.operations.history import History
from aerodrome.services import databases, folders
from aerodrome.services.clusters import Cluster

LONGEST_NAME = 40
"""Characters of a database's name; PostgreSQL takes 63, of which our prefix is a part."""

PREFIX = "user_"
"""Before the names of people's own databases and roles, so that none can be one of ours."""

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the operator's application works with."""

    environments: Environments
    audit: Audit
    authorizer: Authorizer
    directory: Callable[[], Directory]
    """IAM as it is now."""
    clock: Clock
    backend: LocalBackend
    cluster: Callable[[], Cluster]
    history: History
    services: Callable[[], list[dict[str, Any]]]
    """Name and state of each service."""
    troubles: Callable[[], list[str]]
    """What a person should mend now, in sentences that say how."""
    user_databases: Path
    api: str
    port: int
    started_at: datetime


def create_app(desk: Desk) -> Starlette:
    """The application for a desk."""
    return Starlette(
        routes=[
            Route("/health", _answering(lambda _: {"status": "ok"})),
            Route("/status", _answering(lambda _: _status(desk))),
            Route("/events", _answering(lambda request: _events(desk, request.query_params))),
            Route("/explain", _answering(lambda request: _explained(desk, request.query_params))),
            Route(
                "/databases/{name}",
                _answering(lambda request: _database(desk, request.path_params["name"])),
                methods=["POST"],
            ),
            *_history_routes(desk.history),
        ],
        exception_handlers={HTTPException: _refuse, AerodromeError: _report, psycopg.OperationalError: _report},
    )


def _history_routes(history: History) -> list[Route]:
    def numbered(act: Callable[[str, int, QueryParams], Any]) -> Endpoint:
        return _answering(
            lambda request: act(request.path_params["name"], request.path_params["number"], request.query_params)
        )

    snapshot = "/environments/{name}/snapshots/{number:int}"
    return [
        Route(
            "/environments/{name}/revisions",
            _answering(lambda request: history.revisions(request.path_params["name"])),
        ),
        Route(
            "/environments/{name}/revisions/{number:int}/roll-back",
            numbered(lambda name, number, given: history.roll_back(name, number, _strategy(given))),
            methods=["POST"],
        ),
        Route("/snapshots", _answering(lambda request: history.all_snapshots(request.query_params.get("environment")))),
        Route(snapshot, numbered(lambda name, number, _: history.remove_snapshot(name, number)), methods=["DELETE"]),
        Route(
            f"{snapshot}/restore",
            numbered(lambda name, number, given: history.restore(name, number, _strategy(given))),
            methods=["POST"],
        ),
        Route(
            f"{snapshot}/clone",
            numbered(lambda name, number, given: history.clone(name, number, _required(given, "as"))),
            methods=["POST"],
        ),
    ]


def _answering(act: Callable[[Request], Any]) -> Endpoint:
    """An endpoint that answers with the JSON document of a function that may block."""

    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(act, request))

    return endpoint


def _events(desk: Desk, given: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**event, "at": event["at"].isoformat()} for event in desk.audit.entries(**_filters(given))]


def _filters(given: Mapping[str, str]) -> dict[str, Any]:
    """The filters of `GET /events` as the log takes them."""
    try:
        since = datetime.fromisoformat(given["since"]) if "since" in given else None
    except ValueError:
        raise HTTPException(400, "since must be a time such as 2026-11-23T12:00:00+00:00") from None
    if since is not None and since.tzinfo is None:
        raise HTTPException(400, "since must name its offset from UTC, such as +00:00")
    return {
        "environment": given.get("environment"),
        "principal": given.get("principal"),
        "action": given.get("action"),
        "since": since,
        "denied_only": given.get("denied") == "true",
        "reads": given.get("reads") == "true",
        "after": _number(given, "after", 0, least=0, most=2**63 - 1),
        "limit": _number(given, "limit", 100, least=1, most=1000),
        "lifecycle": True,
    }


def _strategy(given: Mapping[str, str]) -> Strategy:
    text = given.get("strategy", Strategy.GRACEFUL)
    if text not in {*Strategy}:
        raise HTTPException(400, f"strategy must be one of {', '.join(Strategy)}")
    return Strategy(text)


def _number(given: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise HTTPException(400, f"{name} must be a number from {least} to {most}")
    return int(text)


def _explained(desk: Desk, given: QueryParams) -> dict[str, Any]:
    """What IAM would say to a request, and what each statement that was looked at contributed."""
    arn, action, resource = (_required(given, name) for name in ("principal", "action", "resource"))
    principal = _principal(desk.directory(), arn)
    if principal is None:
        raise HTTPException(404, f"There is no user and no role {arn}: aws iam list-users and list-roles tell them.")
    # As a request from this machine would have them; what is given counts more.
    context = principal_context(principal, now=desk.clock(), source_ip="127.0.0.1", secure=False)
    context |= _context(given.getlist("context"))
    asked = authorizer.Request(action=action, resource=resource, context=context)
    decision = desk.authorizer.decide(principal, asked)
    return {
        "principal": principal.arn,
        "action": action,
        "resource": resource,
        "context": {name: list(values) for name, values in sorted(context.items())},
        "allowed": decision.allowed,
        "explicit": decision.explicit,
        "sentence": decision.sentence,
        "refusal": "" if decision.allowed else authorizer.refusal(principal, asked, decision),
        "statements": [
            {
                "layer": each.layer,
                "policy": each.source,
                "statement": each.statement.sid or each.statement.number,
                "effect": each.statement.effect,
                "applies": each.mismatch is None,
                "decides": each is decision.deciding,
                "why": "" if each.mismatch is None else each.mismatch.sentence,
            }
            for each in decision.trace
        ],
    }


def _principal(directory: Directory, arn: str) -> Principal | None:
    """The user or role of an ARN, as its requests have it."""
    role = directory.roles_by_arn.get(arn)
    if role is not None:
        return grants.session_principal(role, directory, "explain")
    found = [user for user in directory.users.values() if user.arn == arn]
    return grants.user_principal(found[0], directory.account) if found else None


def _required(given: Mapping[str, str], name: str) -> str:
    if not given.get(name):
        raise HTTPException(400, f"{name} is missing")
    return given[name]


def _context(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`key=value` texts as condition keys; a key that is given several times has several values."""
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise HTTPException(400, f"context {text} must be written key=value, such as aws:SourceIp=10.0.0.1")
        found[name.lower()] = (*found.get(name.lower(), ()), value)
    return found


def _status(desk: Desk) -> dict[str, Any]:
    troubles = desk.troubles()
    try:
        found = sorted(desk.environments.all(), key=lambda environment: environment.name)
    except sqlalchemy.exc.SQLAlchemyError as error:  # just when somebody wants to know what is wrong
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        troubles.append(f"The ledger does not answer, so no environment is shown ({reason}). It is tried again.")
        found = []
    return {
        "troubles": troubles,
        "api": desk.api,
        "port": desk.port,
        "started_at": desk.started_at.isoformat(),
        "services": desk.services(),
        "environments": [_environment(desk, environment) for environment in found],
    }


def _environment(desk: Desk, environment: Environment) -> dict[str, Any]:
    services, cells = desk.backend.cells(environment)
    serving = environment.deployed.cell if environment.deployed is not None else environment.revision
    change = environment.change
    return {
        "name": environment.name,
        "identifier": environment.identifier,
        "status": environment.status,
        "airflow_version": environment.spec.airflow_version,
        "class": environment.spec.environment_class,
        "created_at": environment.created_at.isoformat(),
        "progress": rows.progress_document(environment.progress),
        "failure": rows.failure_document(environment.failure),
        "last_update": rows.last_update_document(environment.last_update),
        "revision": environment.revision,
        "change": {"revision": change.revision, "kind": change.kind, "report": list(change.report)} if change else None,
        "units": [asdict(unit) for unit in (*services.units, *cells.get(serving, NO_CELL).units)],
        "other_cells": [
            {"revision": number, "draining": cell.draining, "units": [asdict(unit) for unit in cell.units]}
            for number, cell in sorted(cells.items())
            if number != serving
        ],
    }


def _database(desk: Desk, name: str) -> dict[str, Any]:
    """A database and its owner; asked again, the same answer."""
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise HTTPException(400, f"A database's name is letters, digits and underscores, at most {LONGEST_NAME}.")
    own = PREFIX + name.lower()
    kept = folders.make(desk.user_databases, folders.PRIVATE) / own
    if not kept.exists():
        private_files.write(kept, secrets.token_urlsafe(24), durable=True)
    password = kept.read_text()
    cluster = desk.cluster()
    databases.ensure_role(cluster, own, password)
    databases.ensure_database(cluster, own, own)
    return {"host": cluster.host, "port": cluster.port, "database": own, "user": own, "password": password}


async def _refuse(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"message": getattr(error, "detail", "")}, status)


async def _report(_: Request, error: Exception) -> Response:
    status = 503
    if isinstance(error, CallerError):
        status = 404 if isinstance(error, NotFoundError) else 400
    return JSONResponse({"message": str(error)}, status)
