"""Between the ledger's rows and the model's values: pure, both ways."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aerodrome.model.environment import Environment, Failure, LastUpdate, Phase, Progress, Spec
from aerodrome.model.lifecycle import Status


def environment(row: Any) -> Environment:
    """The environment that a row of the table `environment` holds."""
    return Environment(
        name=row.name,
        identifier=row.identifier,
        arn=row.arn,
        number=row.number,
        spec=Spec.of(row.spec),
        tags=row.tags,
        status=Status(row.status),
        created_at=row.created_at,
        last_update=_last_update(row.last_update),
        progress=_progress(row.progress),
        failure=_failure(row.failure),
        sealed_secrets=bytes(row.sealed_secrets),
    )


def last_update_document(update: LastUpdate) -> dict[str, Any]:
    return {
        "status": update.status,
        "created_at": update.created_at.isoformat(),
        "source": update.source,
        "failure": failure_document(update.failure),
    }


def progress_document(progress: Progress) -> dict[str, Any]:
    return {
        "phase": progress.phase,
        "detail": progress.detail,
        "phase_started_at": progress.phase_started_at.isoformat(),
        "fraction": progress.fraction,
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in progress.phases],
    }


def failure_document(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "tail": list(failure.tail)}


def _last_update(document: dict[str, Any]) -> LastUpdate:
    return LastUpdate(
        status=document["status"],
        created_at=datetime.fromisoformat(document["created_at"]),
        source=document["source"],
        failure=_failure(document["failure"]),
    )


def _progress(document: dict[str, Any]) -> Progress:
    return Progress(
        phase=document["phase"],
        detail=document["detail"],
        phase_started_at=datetime.fromisoformat(document["phase_started_at"]),
        fraction=document["fraction"],
        phases=tuple(Phase(**phase) for phase in document["phases"]),
    )


def _failure(document: dict[str, Any] | None) -> Failure | None:
    if document is None:
        return None
    return Failure(code=document["code"], message=document["message"], tail=tuple(document["tail"]))
