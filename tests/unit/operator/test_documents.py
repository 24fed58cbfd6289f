"""The documents that the operator's socket answers with are JSON, and have what the command line reads."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aerodrome.backends.contract import ShownCell
from aerodrome.controller import ordering
from aerodrome.model import defaults
from aerodrome.model.change import Change, ChangeKind, Strategy
from aerodrome.model.environment import Environment, Failure, FinishedPhase, LastUpdate, Progress
from aerodrome.model.lifecycle import Status
from aerodrome.model.observed import NO_CELL, Cell, CellState, Unit
from aerodrome.model.orders import Keep
from aerodrome.model.release import Deployed
from aerodrome.operator import documents

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SPEC = defaults.complete(
    "demo",
    {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
        "SourceBucketArn": "arn:aws:s3:::demo",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
    },
    latest_version="3.3.1",
)
FAILURE = Failure(code="UNHEALTHY", message="It did not start.", tail=("a line", "another"))
DEMO = Environment(
    name="demo",
    identifier="0badcafe",
    arn="arn:aws:airflow:us-east-1:000000000000:environment/demo",
    number=1,
    spec=SPEC,
    tags={},
    status=Status.AVAILABLE,
    created_at=NOW,
    last_update=LastUpdate(status="SUCCESS", created_at=NOW, source="user", strategy=Strategy.FORCED),
    progress=Progress(
        phase="ready",
        detail="All units are ready.",
        phase_started_at=NOW,
        phases=(FinishedPhase(name="cell", seconds=1.5),),
    ),
    revision=3,
    deployed=Deployed(identifier="r", version="3.3.1", lock="l", content="c", cell=2),
)


def unit(name: str) -> Unit:
    return Unit(name=name, state="ready", restarts=0)


def running(name: str) -> Cell:
    return Cell(state=CellState.RUNNING, units=(unit(name),))


def described(environment: Environment, services: Cell = NO_CELL, cells: dict[int, Cell] | None = None) -> Any:
    """As a client reads it."""
    shown = {revision: ShownCell(cell=cell, processes={"worker-1.1": 7}) for revision, cell in (cells or {}).items()}
    found = documents.environment(environment, ShownCell(cell=services), shown, machine=2**33, processors=8)
    return json.loads(json.dumps(found))


def test_an_environment_that_runs() -> None:
    found = described(DEMO)
    assert found["last_update"] == {
        "status": "SUCCESS",
        "created_at": NOW.isoformat(),
        "source": "user",
        "failure": None,
        "strategy": "FORCED",
        "maintained_at": None,
    }
    assert found["progress"] == {
        "phase": "ready",
        "detail": "All units are ready.",
        "phase_started_at": NOW.isoformat(),
        "fraction": None,
        "phases": [{"name": "cell", "seconds": 1.5}],
    }
    assert (found["status"], found["class"], found["airflow_version"]) == ("AVAILABLE", "mw1.small", "3.3.1")
    assert (found["failure"], found["change"], found["revision"]) == (None, None, 3)


def test_a_failure_has_its_lines_and_maintenance_its_time() -> None:
    update = replace(DEMO.last_update, failure=FAILURE, maintained_at=NOW + timedelta(hours=1))
    found = described(replace(DEMO, failure=FAILURE, last_update=update))
    told = {"code": "UNHEALTHY", "message": "It did not start.", "tail": ["a line", "another"]}
    assert (found["failure"], found["last_update"]["failure"]) == (told, told)
    assert found["last_update"]["maintained_at"] == "2026-11-23T13:00:00+00:00"


def test_a_change_on_its_way_and_what_it_is_to_report() -> None:
    change = Change(
        kind=ChangeKind.ROLLBACK,
        spec=SPEC,
        revision=4,
        strategy=Strategy.GRACEFUL,
        requested_at=NOW,
        report=("A note.",),
    )
    assert described(replace(DEMO, change=change))["change"] == {
        "revision": 4,
        "kind": "ROLLBACK",
        "report": ["A note."],
    }


def test_units_are_those_of_the_services_and_of_the_cell_that_serves() -> None:
    drain = replace(ordering.cell(DEMO, 1, DEMO.deployed), keep=Keep.TASKS)
    cells = {1: replace(running("worker-1.1"), order=drain), 2: running("scheduler")}
    found = described(DEMO, running("redis"), cells)
    assert [each["name"] for each in found["units"]] == ["redis", "scheduler"]
    [other] = found["other_cells"]
    assert (other["revision"], other["draining"], [each["name"] for each in other["units"]]) == (
        1,
        True,
        ["worker-1.1"],
    )
    assert ([each["pid"] for each in other["units"]], found["units"][0]["pid"]) == ([7], None)


def test_a_lost_zone_is_named_by_its_subnet() -> None:
    spread = replace(ordering.cell(DEMO, 2, DEMO.deployed), zones=("subnet-a", "subnet-b"))
    whole = replace(running("scheduler-2"), order=spread)
    assert described(DEMO, cells={2: whole})["zones_lost"] == []
    assert described(DEMO, cells={2: replace(whole, gone=frozenset({0}))})["zones_lost"] == ["subnet-a"]


def test_before_anything_is_deployed_the_revision_to_come_serves() -> None:
    found = described(replace(DEMO, deployed=None, revision=1), cells={1: running("scheduler")})
    assert [each["name"] for each in found["units"]] == ["scheduler"]
