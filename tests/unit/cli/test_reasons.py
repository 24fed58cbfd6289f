from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aerodrome.cli import reasons
from aerodrome.cli.reasons import Facts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WELL = {
    "name": "mine",
    "status": "AVAILABLE",
    "failure": None,
    "last_update": {"failure": None},
    "progress": {"detail": "Every unit is ready."},
    "units": [{"name": "scheduler", "state": "ready"}, {"name": "worker-1", "state": "ready"}],
}


def found(**given: Any) -> dict[str, str]:
    environment = {**WELL, **given.pop("environment", {})}
    return {each.code: each.sentence for each in reasons.of(Facts(environment=environment, now=NOW, **given))}


def task(*, state: str = "queued", minutes: int = 5, pool: str = "default_pool") -> dict[str, Any]:
    return {"state": state, "pool": pool, "queued_when": (NOW - timedelta(minutes=minutes)).isoformat()}


def pool(name: str = "default_pool", *, slots: int = 4, free: int = 4) -> dict[str, Any]:
    return {"name": name, "slots": slots, "open_slots": free}


def test_nothing_is_wrong_where_all_is_well():
    sidecar = {"error": None, "credentials": {"error": None}, "refused": {}, "logs": {"error": None, "dropped": 0}}
    assert found(sidecar=sidecar, waiting=[task(minutes=0)], pools=[pool()]) == {}
    assert found(environment={"units": [{"name": "redis", "state": "stopped"}]}) == {}


def test_a_failure_is_told_with_its_code():
    failure = {"code": "REQUIREMENTS_CONFLICT", "message": "a needs b", "tail": []}
    assert found(environment={"last_update": {"failure": failure}}) == {
        "REQUIREMENTS_CONFLICT": "The last change failed: a needs b"
    }
    assert found(environment={"status": "CREATE_FAILED", "failure": failure}) == {
        "REQUIREMENTS_CONFLICT": "It is CREATE_FAILED: a needs b"
    }
    assert found(environment={"status": "UNAVAILABLE"}) == {"UNAVAILABLE": "It is UNAVAILABLE."}


def test_what_a_person_must_mend_while_it_runs_is_told():
    progress = {"detail": "DATABASE_TOO_LARGE: The database has more than 10 GiB: find out why."}
    told = {"DATABASE_TOO_LARGE": "The database has more than 10 GiB: find out why."}
    assert found(environment={"progress": progress}) == told
    for detail in ("To hibernate: it waits.", "UPDATE: x", "DATABASE_DAMAGED", ""):
        assert found(environment={"progress": {"detail": detail}}) == {}


def test_a_lost_zone_is_told():
    lost = found(environment={"zones_lost": ["subnet-a"]})
    assert lost.keys() == {"ZONE_LOST"}
    assert "subnet-a" in lost["ZONE_LOST"]


def test_import_errors_have_file_and_line():
    trace = 'Traceback:\n  File "/dags/a/b.py", line 7, in <module>\n  File "/lib/x.py", line 1\nKeyError: 1\n'
    assert found(import_errors=[{"filename": "a/b.py", "stack_trace": trace}]) == {
        "IMPORT_ERROR": "a/b.py, line 7 cannot be imported: KeyError: 1"
    }
    many = [{"filename": f"{number}.py", "stack_trace": ""} for number in range(12)]
    told = reasons.of(Facts(environment=WELL, now=NOW, import_errors=many))
    assert len(told) == 11
    assert told[-1].sentence == "2 more files cannot be imported."


def test_tasks_that_wait_have_a_reason():
    assert found(waiting=[task(state="scheduled", pool="p")] * 2, pools=[pool("p", free=0)]) == {
        "POOL_FULL": "2 tasks wait for pool p: all of its 4 slots are taken."
    }
    assert set(found(waiting=[task()], pools=[pool()])) == {"WORKERS_BUSY"}
    starting = {"units": [{"name": "worker-1", "state": "starting"}]}
    assert set(found(environment=starting, waiting=[task()], pools=[pool()])) == {"UNIT_NOT_READY", "NO_WORKER"}
    assert found(waiting=[{"state": "queued", "pool": "x", "queued_when": None}], pools=[pool()]) == {}


def test_the_sidecar_s_troubles_are_told():
    assert set(found(sidecar={"credentials": {"error": "no"}, "error": "no keys"})) == {"CREDENTIALS"}
    assert set(found(sidecar={"error": "away", "refused": {"dags/x": "too large"}})) == {"BUCKET", "FILE_REFUSED"}
    logs = {"error": "not authorized", "behind_since": "12:00", "dropped": 3}
    assert set(found(sidecar={"logs": logs})) == {"LOGS_BEHIND", "LOGS_DROPPED"}


def test_metrics_that_are_refused_are_told():
    metrics = {"published": 1, "dropped": 7, "behind_since": None, "error": "cloudwatch:PutMetricData"}
    assert "cloudwatch:PutMetricData" in found(sidecar={"metrics": metrics})["METRICS_BEHIND"]
    traces = {"sent": 0, "dropped": 0, "behind_since": "2026-11-23T11:00:00+00:00", "error": "it answers 401"}
    assert found(sidecar={"traces": traces})["TRACES_BEHIND"] == "Traces are not exported: it answers 401"
    assert not found(sidecar={"metrics": {**metrics, "error": None}})
    both = found(sidecar={"metrics": {**metrics, "service_error": "key refused"}})
    assert set(both) == {"METRICS_BEHIND", "MEASUREMENTS_BEHIND"}
    assert "key refused" in both["MEASUREMENTS_BEHIND"]


def test_what_could_not_be_asked_is_no_silence():
    assert set(found(unasked="no answer")) == {"AIRFLOW_SILENT"}
    assert set(found(troubles=["The disk is nearly full."])) == {"MACHINE"}


def test_a_pool_with_a_hostile_name_is_quoted_in_the_command():
    name = "x; rm -rf ~"
    reasons_found = reasons.of(
        Facts(environment=WELL, now=NOW, waiting=[task(pool=name)], pools=[pool(name, slots=2, free=0)])
    )
    assert [each.code for each in reasons_found] == ["POOL_FULL"]
    assert "'/pools/x; rm -rf ~'" in reasons_found[0].remedy


def test_what_is_being_done_is_told_when_nothing_is_wrong():
    creating = {**WELL, "status": "CREATING", "progress": {"detail": "Waiting for scheduler."}}
    assert reasons.all_well(creating).endswith("it is CREATING: Waiting for scheduler.")
    assert "CREATING" not in reasons.all_well({**WELL, "progress": {"detail": ""}})
