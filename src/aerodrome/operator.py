"""The operator's socket: what the machine's owner may ask of the control plane beyond the MWAA API.

An HTTP application on a unix socket of mode 0600, used by the command line (status, events, databases). It holds no
secret but the one that `POST /databases/<name>` makes for its caller.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aerodrome.backends.local.backend import LocalBackend
from aerodrome.errors import AerodromeError
from aerodrome.ledger import rows
from aerodrome.ledger.environments import Environments
from aerodrome.model.environment import Environment
from aerodrome.services import databases, folders
from aerodrome.services.clusters import Cluster

LONGEST_NAME = 40
"""Characters of a database's name; PostgreSQL takes 63, of which our prefix is a part."""

PREFIX = "user_"
"""Before the names of people's own databases and roles, so that none can be one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the operator's application works with."""

    environments: Environments
    backend: LocalBackend
    cluster: Callable[[], Cluster]
    services: Callable[[], list[dict[str, Any]]]
    """Name and state of each service."""
    keys: Path
    api: str
    port: int
    started_at: datetime


def create_app(desk: Desk) -> Starlette:
    """The application for a desk."""

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def status(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_status, desk))

    async def events(request: Request) -> Response:
        limit = request.query_params.get("limit", "100")
        if not limit.isdigit() or not 1 <= int(limit) <= 1000:  # noqa: PLR2004 - the bound that the message names
            raise HTTPException(400, "limit must be a number from 1 to 1000")
        name = request.path_params["name"]
        found = await run_in_threadpool(lambda: desk.environments.events(name, limit=int(limit)))
        if not found:
            raise HTTPException(404, f"Nothing is known of an environment {name}.")
        return JSONResponse([{**event, "at": event["at"].isoformat()} for event in found])

    async def database(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_database, desk, request.path_params["name"]))

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/status", status),
            Route("/environments/{name}/events", events),
            Route("/databases/{name}", database, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refuse, AerodromeError: _report, psycopg.OperationalError: _report},
    )


def _status(desk: Desk) -> dict[str, Any]:
    names = desk.environments.names()
    found = [environment for name in names if (environment := desk.environments.get(name)) is not None]
    return {
        "api": desk.api,
        "port": desk.port,
        "started_at": desk.started_at.isoformat(),
        "services": desk.services(),
        "environments": [_environment(desk, environment) for environment in found],
    }


def _environment(desk: Desk, environment: Environment) -> dict[str, Any]:
    return {
        "name": environment.name,
        "identifier": environment.identifier,
        "status": environment.status,
        "airflow_version": environment.spec.airflow_version,
        "class": environment.spec.environment_class,
        "created_at": environment.created_at.isoformat(),
        "progress": rows.progress_document(environment.progress),
        "failure": rows.failure_document(environment.failure),
        "units": [asdict(unit) for unit in desk.backend.units(environment)],
    }


def _database(desk: Desk, name: str) -> dict[str, Any]:
    """A database and its owner; asked again, the same answer."""
    if not (name.isidentifier() and name.isascii() and len(name) <= LONGEST_NAME):
        raise HTTPException(400, f"A database's name is letters, digits and underscores, at most {LONGEST_NAME}.")
    own = PREFIX + name.lower()
    kept = folders.make(desk.keys / "databases", folders.PRIVATE) / own
    if not kept.exists():
        folders.write_secret(kept, secrets.token_urlsafe(24))
    password = kept.read_text()
    cluster = desk.cluster()
    databases.ensure_role(cluster, own, password)
    databases.ensure_database(cluster, own, own)
    return {"host": cluster.host, "port": cluster.port, "database": own, "user": own, "password": password}


async def _refuse(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"message": getattr(error, "detail", "")}, status)


async def _report(_: Request, error: Exception) -> Response:
    return JSONResponse({"message": str(error)}, 503)
