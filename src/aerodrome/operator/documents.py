"""The JSON documents that the operator's socket answers with; the command line relies on their form. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aerodrome.backends.contract import ShownCell
from aerodrome.model import classes
from aerodrome.model import limits as model_limits
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.hibernation import ASLEEP_TAG, IDLE_TAG
from aerodrome.model.history import Revision, Snapshot
from aerodrome.model.limits import Enforcement
from aerodrome.model.observed import WORKER

Document = dict[str, Any]


def limits(found: Enforcement) -> Document:
    """What sees to the limits of units; an empty value = nothing does."""
    return {
        "control_groups": found.version,
        "reason": found.reason,
        "processes": found.processes,
        "memory": found.memory,
        "processor": found.processor,
        "sentence": found.sentence,
        "disk_images": not found.disk_trouble,
        "disk_sentence": found.disk_sentence,
    }


def environment(
    found: Environment, services: ShownCell, cells: Mapping[int, ShownCell], *, machine: int, processors: int
) -> Document:
    """An environment, and what was seen of its cells, on a machine with so many bytes of memory and processors."""
    change, chosen = found.change, classes.CLASSES[found.spec.environment_class]
    return {
        "name": found.name,
        "identifier": found.identifier,
        "status": found.status,
        "airflow_version": found.spec.airflow_version,
        "class": found.spec.environment_class,
        "worker_limits": {
            **asdict(model_limits.of_unit(chosen, WORKER, machine)),
            "memory_of_class": chosen.worker_memory_gib * model_limits.GIB,
            "processors": model_limits.processors_of_unit(chosen, WORKER, processors),
            "processors_of_class": chosen.worker_vcpu,
        },
        "created_at": found.created_at.isoformat(),
        "progress": _progress(found.progress),
        "failure": _failure(found.failure),
        "last_update": _last_update(found.last_update),
        "revision": found.revision,
        "serving": found.serving,
        "change": {"revision": change.revision, "kind": change.kind, "report": list(change.report)} if change else None,
        "hibernation": _hibernation(found),
        "disks": [asdict(image) for image in cells[found.serving].cell.images] if found.serving in cells else [],
        "units": [*_units(services), *(_units(cells[found.serving]) if found.serving in cells else [])],
        "zones_lost": list(cells[found.serving].cell.zones_lost) if found.serving in cells else [],
        "other_cells": [
            {"revision": number, "draining": shown.cell.draining, "units": _units(shown)}
            for number, shown in sorted(cells.items())
            if number != found.serving
        ],
    }


def rest(found: Environment) -> Document:
    """An environment that was asked to hibernate or to wake."""
    return {"name": found.name, "status": found.status, "hibernation": _hibernation(found)}


def revision(found: Revision, *, runs: bool) -> Document:
    """A revision; `runs` says whether the environment has it now."""
    return {
        "number": found.number,
        "kind": found.kind,
        "outcome": found.outcome,
        "requested_at": found.requested_at.isoformat(),
        "requested_by": found.requested_by,
        "settled_at": found.settled_at.isoformat() if found.settled_at else None,
        "failure": _failure(found.failure),
        "report": list(found.report),
        "configuration": found.spec.document(),
        "runs": runs,
    }


def snapshot(name: str, found: Snapshot) -> Document:
    """A snapshot of the environment `name`."""
    return {
        "environment": name,
        "number": found.number,
        "taken_at": found.taken_at.isoformat(),
        "airflow_version": found.deployed.version,
        "size": found.size,
        "configuration": found.spec.document(),
    }


def begun(found: Environment) -> Document:
    """An environment of which a creation or a change has begun, and the revision that it is to have."""
    return {"name": found.name, "revision": found.change.revision if found.change else found.revision}


def event(entry: Mapping[str, Any]) -> Document:
    """An entry of the event log; those that are no audit entries have no principal and no action."""
    return {
        "id": entry["id"],
        "at": entry["at"].isoformat(),
        "environment": entry["environment"],
        "kind": entry["kind"],
        "sentence": entry["sentence"],
        "detail": entry["detail"],
        "principal": entry["principal"],
        "action": entry["action"],
        "resource": entry["resource"],
        "allowed": entry["allowed"],
        "address": entry["address"],
    }


def _hibernation(found: Environment) -> Document:
    """How far its sleep is, and the tags by which it falls asleep."""
    slept, tags = found.hibernation, found.tags
    return {
        "rest": slept.rest,
        "since": slept.since.isoformat() if slept.since else None,
        "by_command": slept.by_command,
        "refusal": slept.refusal,
        "after": tags.get(IDLE_TAG),
        "asleep": tags.get(ASLEEP_TAG),
    }


def _failure(found: Failure | None) -> Document | None:
    if found is None:
        return None
    return {"code": found.code, "message": found.message, "tail": list(found.tail)}


def _last_update(found: LastUpdate) -> Document:
    return {
        "status": found.status,
        "created_at": found.created_at.isoformat(),
        "source": found.source,
        "failure": _failure(found.failure),
        "strategy": found.strategy,
        "maintained_at": found.maintained_at.isoformat() if found.maintained_at else None,
    }


def _progress(found: Progress) -> Document:
    return {
        "phase": found.phase,
        "detail": found.detail,
        "phase_started_at": found.phase_started_at.isoformat(),
        "fraction": found.fraction,
        "phases": [{"name": phase.name, "seconds": phase.seconds} for phase in found.phases],
    }


def _units(shown: ShownCell) -> list[Document]:
    return [{**asdict(unit), "pid": shown.processes.get(unit.name)} for unit in shown.cell.units]
