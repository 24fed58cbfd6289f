"""Hibernation as it is asked for: on the operator's socket, by tags, and by whoever needs what hibernates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.model.hibernation import Hibernation, HibernationStep, Rest
from aerodrome.model.lifecycle import Event, Status
from protocol.api.test_operator_history import NOW, ROOT, World, ask, world

__all__ = ["ask", "world"]

ALLOWED = {Status.AVAILABLE, Status.UPDATE_FAILED}
LATER = {Status.CREATING, Status.UPDATING, Status.CREATING_SNAPSHOT, Status.MAINTENANCE, Status.ROLLING_BACK}
NEVER = {Status.CREATE_FAILED, Status.UNAVAILABLE, Status.DELETING}


def at(world: World, rest: Rest) -> None:
    world.environments.rest("demo", lambda _: HibernationStep(Hibernation(rest=rest, since=NOW)), NOW)


def set_status(world: World, status: Status) -> None:
    world.environments.rows["demo"] = replace(world.demo, status=status)


def test_the_table_of_statuses_is_whole():
    assert ALLOWED | LATER | NEVER | {Status.DELETED} == set(Status)


@pytest.mark.parametrize("status", sorted(ALLOWED | LATER | NEVER))
@pytest.mark.parametrize("waits", [False, True])
def test_a_status_allows_hibernation_or_lets_it_wait_or_refuses_it(world, ask, status, waits):
    set_status(world, status)
    is_taken = status in ALLOWED or (waits and status in LATER)
    answer = ask("POST", f"/environments/demo/hibernate?wait={str(waits).lower()}", 200 if is_taken else 400)
    assert world.demo.hibernation.rest is (Rest.WAITING if is_taken else Rest.AWAKE)
    if is_taken:
        assert answer["hibernation"]["rest"] == "WAITING"
        event = world.environments.events("demo")[-1]
        assert (event["kind"], event["detail"]) == ("HIBERNATION_REQUESTED", {"by": ROOT})
    else:
        assert status in answer["message"]


def test_wake_is_for_what_hibernates_and_harms_nothing_else(world, ask):
    assert ask("POST", "/environments/demo/wake")["hibernation"]["rest"] == "AWAKE"
    at(world, Rest.HIBERNATED)
    assert ask("POST", "/environments/demo/wake")["hibernation"]["rest"] == "WAKING"
    assert ask("POST", "/environments/demo/wake")["hibernation"]["rest"] == "WAKING"
    assert [each["kind"] for each in world.environments.events("demo")].count("WAKING") == 1


@pytest.mark.parametrize("path", ["/environments/nobody/hibernate", "/environments/nobody/wake"])
def test_nobody_of_that_name(ask, path):
    assert "aerodrome status" in ask("POST", path, 404)["message"]


def test_a_deletion_is_taken_from_what_hibernates(world: Any):
    at(world, Rest.HIBERNATED)
    assert world.environments.request("demo", Event.DELETE_REQUESTED, NOW).status is Status.DELETING


@pytest.fixture
def demo(mwaa: Any, behind: Any, creation: dict[str, Any]) -> Any:
    """A client of an environment that hibernates."""
    mwaa.create_environment(**creation)
    behind.change("demo", status=Status.AVAILABLE, hibernation=Hibernation(rest=Rest.HIBERNATED, since=NOW))
    return mwaa


def test_towards_mwaas_clients_it_is_available_and_who_only_looks_wakes_nobody(demo: Any, behind: Any):
    found = demo.get_environment(Name="demo")["Environment"]
    assert found["Status"] == "AVAILABLE"
    demo.list_environments()
    demo.tag_resource(ResourceArn=found["Arn"], Tags={"team": "a"})
    assert behind.environments.get("demo").hibernation.rest is Rest.HIBERNATED


@pytest.mark.parametrize("call", ["create_web_login_token", "create_cli_token"])
def test_a_token_wakes_it_at_once_and_is_given_at_once(demo: Any, behind: Any, call: str):
    assert getattr(demo, call)(Name="demo")
    assert behind.environments.get("demo").hibernation.rest is Rest.WAKING


def test_a_rest_call_waits_for_as_long_as_a_client_does(demo: Any, behind: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aerodrome.operations.hibernation.PATIENCE", 0.3)
    with pytest.raises(ClientError, match="is being woken; try again") as caught:
        demo.invoke_rest_api(Name="demo", Path="/dags", Method="GET")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500  # which every AWS client tries again
    assert behind.environments.get("demo").hibernation.rest is Rest.WAKING
    assert not behind.rest_identities


@pytest.mark.parametrize("call", ["create_web_login_token", "create_cli_token", "invoke_rest_api"])
def test_whom_iam_refuses_wakes_nobody(demo: Any, behind: Any, call: str):
    behind.grant()
    more = {"Path": "/dags", "Method": "GET"} if call == "invoke_rest_api" else {}
    with pytest.raises(ClientError, match="not authorized"):
        getattr(demo, call)(Name="demo", **more)
    assert behind.environments.get("demo").hibernation.rest is Rest.HIBERNATED


@pytest.mark.parametrize("tags", [{"aerodrome:hibernate-after": "soon"}, {"aerodrome:asleep": "at night"}])
def test_tags_that_mean_nothing_are_refused(mwaa: Any, creation: dict[str, Any], tags: dict[str, str]):
    [key] = tags
    with pytest.raises(ClientError, match=key):
        mwaa.create_environment(**{**creation, "Tags": tags})
    arn = mwaa.create_environment(**creation)["Arn"]
    with pytest.raises(ClientError, match=key):
        mwaa.tag_resource(ResourceArn=arn, Tags=tags)
    mwaa.tag_resource(ResourceArn=arn, Tags={"aerodrome:asleep": "20:00-07:00 Europe/Berlin"})
