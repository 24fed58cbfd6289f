"""The HTTP application on the operator's socket, whose mode is 0600; the command line asks it.

It holds no secret but the one that `POST /databases/<name>` makes for its caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aerodrome import private_files
from aerodrome.errors import AerodromeError, CallerError, NotFoundError
from aerodrome.identity import authorizer
from aerodrome.identity.authorizer import principal_context
from aerodrome.ledger import connection
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.model import arns
from aerodrome.model.change import Strategy
from aerodrome.model.iam import grants
from aerodrome.model.iam.directory import Directory
from aerodrome.model.principals import Principal
from aerodrome.operations import create, hibernation, history, update
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operator import documents
from aerodrome.operator.dependencies import OperatorDependencies
from aerodrome.services import databases, folders
from aerodrome.services.clusters import ServerAwayError

LIMITS = ConnectionLimits(total=128, each_peer=128, bodies_each_peer=128)
"""Limits of the listener; only the machine's owner may open its socket."""

LONGEST_NAME = 40
"""Characters of a database's name; PostgreSQL takes 63, of which our prefix is a part."""

MOST_CONNECTIONS = 50
"""Connections at once to each database of people's own: DAG code may know its password."""

PREFIX = "user_"
"""Prefix of the names of people's own databases and roles, so that none is the name of one of ours."""

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(deps: OperatorDependencies) -> Starlette:
    """The application."""
    return Starlette(
        routes=[
            Route("/health", _answering(lambda _: {"status": "ok"})),
            Route("/status", _answering(lambda _: _status(deps))),
            Route("/events", _answering(lambda request: _events(deps, request.query_params))),
            Route("/explain", _answering(lambda request: _explained(deps, request.query_params))),
            Route(
                "/databases/{name}",
                _answering(lambda request: _database(deps, request.path_params["name"])),
                methods=["POST"],
            ),
            *_history_routes(deps.operations),
        ],
        exception_handlers={HTTPException: _refuse, AerodromeError: _report, ServerAwayError: _report},
    )


def _history_routes(deps: Dependencies) -> list[Route]:
    """Revisions, snapshots, the ways back, and hibernation. The client owns the machine, so IAM is not asked."""
    owner = arns.root(region=deps.settings.region, account=deps.settings.account_id)

    def roll_back(request: Request) -> Any:
        name, number, strategy = *_numbered(request), _strategy(request.query_params)
        return documents.begun(update.roll_back(deps, name, number, strategy=strategy, requested_by=owner))

    def restore(request: Request) -> Any:
        name, number, strategy = *_numbered(request), _strategy(request.query_params)
        return documents.begun(update.restore_snapshot(deps, name, number, strategy=strategy, requested_by=owner))

    def clone(request: Request) -> Any:
        name, number, wanted = *_numbered(request), _required(request.query_params, "as")
        return documents.begun(create.clone_snapshot(deps, name, number, clone=wanted, requested_by=owner))

    def hibernate(request: Request) -> Any:
        waits = request.query_params.get("wait") == "true"
        name = request.path_params["name"]
        return documents.rest(hibernation.hibernate(deps, name, waits=waits, requested_by=owner))

    def wake(request: Request) -> Any:
        return documents.rest(hibernation.wake(deps, request.path_params["name"], requested_by=owner))

    def remove(request: Request) -> Any:
        name, number = _numbered(request)
        history.remove_snapshot(deps, name, number)
        return {"name": name, "snapshot": number}

    def revisions(request: Request) -> Any:
        found, current = history.revisions(deps, request.path_params["name"])
        return [documents.revision(each, runs=each.number == current) for each in found]

    def snapshots(request: Request) -> Any:
        found = history.snapshots(deps, request.query_params.get("environment"))
        return [documents.snapshot(name, each) for name, each in found]

    environment = "/environments/{name}"
    snapshot = f"{environment}/snapshots/{{number:int}}"
    return [
        Route(f"{environment}/revisions", _answering(revisions)),
        Route(f"{environment}/revisions/{{number:int}}/roll-back", _answering(roll_back), methods=["POST"]),
        Route(f"{environment}/hibernate", _answering(hibernate), methods=["POST"]),
        Route(f"{environment}/wake", _answering(wake), methods=["POST"]),
        Route("/snapshots", _answering(snapshots)),
        Route(snapshot, _answering(remove), methods=["DELETE"]),
        Route(f"{snapshot}/restore", _answering(restore), methods=["POST"]),
        Route(f"{snapshot}/clone", _answering(clone), methods=["POST"]),
    ]


def _numbered(request: Request) -> tuple[str, int]:
    """The name of the environment, and the number of a revision or a snapshot of it."""
    return request.path_params["name"], request.path_params["number"]


def _answering(act: Callable[[Request], Any]) -> Endpoint:
    """An endpoint that answers with the JSON document of a function that may block."""

    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(act, request))

    return endpoint


def _events(deps: OperatorDependencies, given: Mapping[str, str]) -> list[dict[str, Any]]:
    return [documents.event(entry) for entry in deps.audit.entries(**_filters(given))]


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


def _explained(deps: OperatorDependencies, given: QueryParams) -> dict[str, Any]:
    """What IAM would decide about a request, and what each statement contributed."""
    arn, action, resource = (_required(given, name) for name in ("principal", "action", "resource"))
    principal = _principal(deps.directory(), arn)
    if principal is None:
        raise HTTPException(404, f"There is no user and no role {arn}: aws iam list-users and list-roles tell them.")
    # As in a request from this machine; given values replace these.
    context = principal_context(principal, now=deps.operations.clock(), source_ip="127.0.0.1", secure=False)
    context |= _context(given.getlist("context"))
    asked = authorizer.Request(action=action, resource=resource, context=context)
    decision = deps.operations.authorizer.decide(principal, asked)
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
    """The user or role with this ARN, as a principal of its requests."""
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


def _status(deps: OperatorDependencies) -> dict[str, Any]:
    troubles, enforcement = deps.troubles(), deps.limits()
    try:
        found = sorted(deps.operations.environments.all(), key=lambda environment: environment.name)
    except connection.LedgerError as error:  # the status must be shown just then
        reason = connection.reason(error)
        troubles.append(f"The ledger does not answer, so no environment is shown ({reason}). It is tried again.")
        found = []
    return {
        "troubles": troubles,
        "api": deps.api,
        "port": deps.port,
        "started_at": deps.started_at.isoformat(),
        "uids": deps.uids(),
        "primed": deps.primed(),
        "limits": documents.limits(enforcement),
        "services": deps.services(),
        "environments": [
            documents.environment(
                each,
                *deps.runtime.show(each.tenant),
                machine=enforcement.machine,
                processors=enforcement.processors,
            )
            for each in found
        ],
    }


def _database(deps: OperatorDependencies, name: str) -> dict[str, Any]:
    """Make a database and its owner. Asked again, it gives the same answer."""
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise HTTPException(400, f"A database's name is letters, digits and underscores, at most {LONGEST_NAME}.")
    own = PREFIX + name.lower()
    kept = folders.make(deps.user_databases, folders.PRIVATE) / own
    if not kept.exists():
        private_files.write(kept, secrets.token_urlsafe(24), durable=True)
    password = kept.read_text()
    cluster = deps.cluster()
    databases.ensure_role(cluster, own, password, connection_limit=MOST_CONNECTIONS, is_peoples=True)
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
