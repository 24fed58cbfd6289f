"""Turns the ledger's rows into the model's values, and back. Pure."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from aerodrome.ledger import texts
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, FinishedPhase, LastUpdate, Progress
from aerodrome.model.hibernation import AWAKE, Hibernation, Rest
from aerodrome.model.history import Outcome, Revision, Snapshot
from aerodrome.model.lifecycle import Status
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec


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
        progress=progress(row.progress),
        revision=row.revision,
        deployed=_deployed(row.deployed),
        change=change(row.change),
        failure=failure(row.failure),
        hibernation=hibernation(row.hibernation),
        sealed_secrets=bytes(row.sealed_secrets),
    )


def environment_values(after: Environment) -> dict[str, Any]:
    """Everything in an environment that an event may change, by column."""
    return {
        "status": after.status,
        "spec": after.spec.document(),
        "last_update": last_update_document(after.last_update),
        "revision": after.revision,
        "deployed": deployed_document(after.deployed),
        "change": change_document(after.change),
        "failure": failure_document(after.failure),
        "hibernation": hibernation_document(after.hibernation),
    }


def revision_values(identifier: str, change: Change, spec: dict[str, Any]) -> dict[str, Any]:
    """A revision that was asked for, by column; `spec` is the change's spec as a document."""
    return {
        "identifier": identifier,
        "number": change.revision,
        "kind": change.kind,
        "spec": spec,
        "outcome": Outcome.PENDING,
        "requested_at": change.requested_at,
        "requested_by": change.requested_by,
        "report": [],
    }


def revision(row: Any) -> Revision:
    """The revision that a row of the table `revision` holds."""
    return Revision(
        number=row.number,
        kind=ChangeKind(row.kind),
        spec=Spec.of(row.spec),
        outcome=Outcome(row.outcome),
        requested_at=row.requested_at,
        requested_by=row.requested_by,
        settled_at=row.settled_at,
        failure=failure(row.failure),
        report=tuple(row.report),
    )


def snapshot(row: Any) -> Snapshot:
    """The snapshot that a row of the table `snapshot` holds."""
    return Snapshot(
        identifier=row.identifier,
        number=row.number,
        taken_at=row.taken_at,
        spec=Spec.of(row.spec),
        deployed=Deployed(**row.deployed),
        size=row.size,
    )


def change_document(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return asdict(change) | {
        "spec": change.spec.document(),
        "requested_at": change.requested_at.isoformat(),
        "report": texts.document(change.report),
    }


def deployed_document(deployed: Deployed | None) -> dict[str, Any] | None:
    return None if deployed is None else asdict(deployed)


def last_update_document(update: LastUpdate) -> dict[str, Any]:
    return {
        "status": update.status,
        "created_at": update.created_at.isoformat(),
        "source": update.source,
        "failure": failure_document(update.failure),
        "strategy": update.strategy,
        "maintained_at": update.maintained_at.isoformat() if update.maintained_at else None,
    }


def hibernation_document(found: Hibernation) -> dict[str, Any]:
    return {
        "rest": found.rest,
        "since": found.since.isoformat() if found.since else None,
        "by_command": found.by_command,
        "waits": found.waits,
        "refusal": texts.text(found.refusal),
        "used_at": found.used_at.isoformat() if found.used_at else None,
        "dags_at": found.dags_at,
    }


def progress_document(progress: Progress) -> dict[str, Any]:
    return {
        "phase": progress.phase,
        "detail": texts.text(progress.detail),
        "phase_started_at": progress.phase_started_at.isoformat(),
        "fraction": progress.fraction,
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in progress.phases],
    }


def failure_document(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": texts.text(failure.message), "tail": texts.document(failure.tail)}


def change(document: dict[str, Any] | None) -> Change | None:
    """The change that `change_document` wrote."""
    if document is None:
        return None
    seed = document["seed"]
    return Change(
        kind=ChangeKind(document["kind"]),
        spec=Spec.of(document["spec"]),
        revision=document["revision"],
        strategy=Strategy(document["strategy"]),
        requested_at=datetime.fromisoformat(document["requested_at"]),
        requested_by=document["requested_by"],
        seed=Seed(**seed) if seed else None,
        deployed=_deployed(document["deployed"]),
        archived=document["archived"],
        rehearsed=document["rehearsed"],
        migrated=document["migrated"],
        swapped=document["swapped"],
        report=tuple(document["report"]),
    )


def _deployed(document: dict[str, Any] | None) -> Deployed | None:
    return None if document is None else Deployed(**document)


def hibernation(document: dict[str, Any] | None) -> Hibernation:
    """The sleep that `hibernation_document` wrote; None = nobody ever wrote one."""
    if document is None:
        return AWAKE
    return Hibernation(
        rest=Rest(document["rest"]),
        since=_moment(document["since"]),
        by_command=document["by_command"],
        waits=document["waits"],
        refusal=document["refusal"],
        used_at=_moment(document["used_at"]),
        dags_at=document["dags_at"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _last_update(document: dict[str, Any]) -> LastUpdate:
    strategy = document["strategy"]
    return LastUpdate(
        status=document["status"],
        created_at=datetime.fromisoformat(document["created_at"]),
        source=document["source"],
        failure=failure(document["failure"]),
        strategy=Strategy(strategy) if strategy else None,
        maintained_at=_moment(document.get("maintained_at")),
    )


def progress(document: dict[str, Any]) -> Progress:
    """The progress that `progress_document` wrote."""
    return Progress(
        phase=document["phase"],
        detail=document["detail"],
        phase_started_at=datetime.fromisoformat(document["phase_started_at"]),
        fraction=document["fraction"],
        phases=tuple(FinishedPhase(**phase) for phase in document["phases"]),
    )


def failure(document: dict[str, Any] | None) -> Failure | None:
    """The failure that `failure_document` wrote."""
    if document is None:
        return None
    return Failure(code=document["code"], message=document["message"], tail=tuple(document["tail"]))
