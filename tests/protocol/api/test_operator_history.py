"""The operator's socket: revisions and snapshots, and the ways back, of which each begins a change or refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from aerodrome.errors import CallerError
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.ledger.memory import MemoryEnvironments, MemorySnapshots
from aerodrome.model import defaults
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.operations import validation
from aerodrome.operator.app import create_app
from aerodrome.settings import Settings
from protocol.api import raw
from protocol.api.behind import VAULT, MemoryPreflight, dependencies, operator_dependencies
from protocol.api.serving import served

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = "arn:aws:iam::000000000000:root"
QUOTA = 2
DEPLOYED = Deployed(identifier="r", version="2.11.2", lock="l", content="c")


class Removed:
    """Stands where snapshots lie, and keeps which were removed."""

    def __init__(self) -> None:
        self.snapshots: list[tuple[str, int]] = []

    def remove_snapshot(self, identifier: str, number: int) -> None:
        self.snapshots.append((identifier, number))


class World:
    """An environment of three revisions: the first was applied, the second failed, the third runs."""

    def __init__(self, spec: Spec) -> None:
        self.first = spec
        self.third = replace(spec, max_workers=7)
        self.environments = MemoryEnvironments()
        self.snapshots = MemorySnapshots(self.environments)
        self.removed = Removed()
        self.preflight = MemoryPreflight()
        secrets = VAULT.seal(EnvironmentSecrets.generate())
        self.environments.create("demo", spec, {}, sealed_secrets=secrets, quota=QUOTA, now=NOW, requested_by="me")
        self.environments.request("demo", Event.CREATED, NOW)
        self.update(replace(spec, max_workers=5))
        failure = Failure(code="UNHEALTHY", message="It did not start.", tail=("a line",))
        self.environments.set_progress("demo", self.demo.progress, failure=failure)
        for event in (Event.UPDATE_BROKEN, Event.RESTORED):
            self.environments.request("demo", event, NOW)
        self.update(self.third)
        self.environments.request("demo", Event.UPDATED, NOW)
        self.snapshots.add(self.snapshot(3))

    @property
    def demo(self) -> Environment:
        return self.environments.rows["demo"]

    def update(self, spec: Spec) -> None:
        change = Change(
            kind=ChangeKind.UPDATE,
            spec=spec,
            revision=0,
            strategy=Strategy.GRACEFUL,
            requested_at=NOW,
            requested_by="me",
        )
        self.environments.begin(self.demo, change)

    def snapshot(self, number: int) -> Snapshot:
        return Snapshot(
            identifier=self.demo.identifier,
            number=number,
            taken_at=NOW + timedelta(minutes=number),
            spec=self.first,
            deployed=DEPLOYED,
            size=1024,
        )

    def was(self, **changes: Any) -> Spec:
        """From now on the first revision and the snapshot have had this configuration, and the environment not."""
        self.first = replace(self.first, **changes)
        revisions = self.environments._revisions["demo"]
        revisions[0] = replace(revisions[0], spec=self.first)
        self.snapshots.remove(self.demo.identifier, 3, lambda: None, is_needed=lambda _: False)
        self.snapshots.add(self.snapshot(3))
        return self.first


@pytest.fixture
def world(creation: dict[str, Any]) -> World:
    return World(defaults.complete("demo", {**creation, "AirflowVersion": "2.11.2"}, latest_version="3.3.1"))


@pytest.fixture
def ask(world: World) -> Iterator[Callable[..., Any]]:
    """Asks the operator's application: (method, path, status) → the document of its answer."""
    operations = dependencies(
        Settings(quota_environments=QUOTA),
        environments=world.environments,
        snapshots=world.snapshots,
        archives=world.removed,
        vault=VAULT,
        preflight=world.preflight,
        clock=lambda: NOW,
    )
    deps = operator_dependencies(operations=operations, started_at=NOW)
    with served(create_app(deps)) as port:

        def asked(method: str, path: str, status: int = 200) -> Any:
            answer = raw.exchange(port, method, path, b"" if method == "POST" else None, {})
            assert answer.status == status, answer.body
            return answer.json

        yield asked


def refusal(ask: Any, method: str, path: str, status: int = 400) -> str:
    return str(ask(method, path, status)["message"])


def test_revisions_tell_what_became_of_each_and_which_runs(ask: Any, world: World) -> None:
    first, second, third = ask("GET", "/environments/demo/revisions")
    assert [each["number"] for each in (first, second, third)] == [1, 2, 3]
    assert [each["kind"] for each in (first, second, third)] == ["CREATE", "UPDATE", "UPDATE"]
    assert [each["outcome"] for each in (first, second, third)] == ["APPLIED", "FAILED", "APPLIED"]
    assert [each["runs"] for each in (first, second, third)] == [False, False, True]
    assert (first["requested_at"], first["settled_at"], first["requested_by"]) == (
        NOW.isoformat(),
        NOW.isoformat(),
        "me",
    )
    assert (second["failure"]["code"], first["failure"], third["failure"]) == ("UNHEALTHY", None, None)
    assert third["configuration"] == world.third.document()


def test_a_revision_under_way_is_pending(ask: Any, world: World) -> None:
    world.update(world.first)
    last = ask("GET", "/environments/demo/revisions")[-1]
    assert (last["number"], last["outcome"], last["settled_at"], last["runs"]) == (4, "PENDING", None, False)


@pytest.mark.parametrize("strategy", [None, *Strategy])
def test_a_roll_back_is_a_change_to_that_configuration(ask: Any, world: World, strategy: Strategy | None) -> None:
    query = f"?strategy={strategy}" if strategy else ""
    answer = ask("POST", f"/environments/demo/revisions/1/roll-back{query}")
    assert answer == {"name": "demo", "revision": 4}
    change = world.demo.change
    assert change is not None
    assert (change.kind, change.spec, change.seed, change.requested_by) == (
        ChangeKind.ROLLBACK,
        world.first,
        None,
        ROOT,
    )
    assert change.strategy is (strategy or Strategy.GRACEFUL)
    assert world.demo.status is Status.UPDATING


def test_a_restore_is_a_change_to_the_snapshots_database_too(ask: Any, world: World) -> None:
    assert ask("POST", "/environments/demo/snapshots/3/restore?strategy=FORCED") == {"name": "demo", "revision": 4}
    change = world.demo.change
    assert change is not None
    assert (change.kind, change.spec, change.strategy) == (ChangeKind.RESTORE, world.first, Strategy.FORCED)
    assert change.seed == Seed(identifier=world.demo.identifier, number=3)


WAYS_BACK = ["revisions/1/roll-back", "snapshots/3/restore"]


@pytest.mark.parametrize("way", WAYS_BACK)
@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DELETED])
def test_a_way_back_begins_where_an_update_does(ask: Any, world: World, way: str, status: Status) -> None:
    world.environments.rows["demo"] = replace(world.demo, status=status)
    if status in {Status.AVAILABLE, Status.UPDATE_FAILED}:
        ask("POST", f"/environments/demo/{way}")
        return
    before = world.demo
    sentence = refusal(ask, "POST", f"/environments/demo/{way}")
    assert sentence == f"Environments with {status} status cannot be updated"
    assert world.demo == before


@pytest.mark.parametrize("way", WAYS_BACK)
def test_a_way_back_that_the_bucket_does_not_allow_is_none(ask: Any, world: World, way: str) -> None:
    world.preflight.bucket_problem = CallerError("Unable to read version 7 of file plugins.zip")
    assert refusal(ask, "POST", f"/environments/demo/{way}") == "Unable to read version 7 of file plugins.zip"
    assert world.demo.change is None


@pytest.mark.parametrize("way", WAYS_BACK)
def test_a_strategy_that_is_none(ask: Any, world: World, way: str) -> None:
    assert (
        refusal(ask, "POST", f"/environments/demo/{way}?strategy=GENTLE") == "strategy must be one of GRACEFUL, FORCED"
    )
    assert world.demo.change is None


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (0, 404, "demo has no revision 0: aerodrome revisions demo"),
        (4, 404, "demo has no revision 4"),
        (10**20, 404, "demo has no revision 1000"),
        (2, 400, "Revision 2 of demo was never applied (FAILED)"),
        (3, 400, "demo has the configuration of revision 3 already"),
    ],
)
def test_revisions_that_nothing_leads_back_to(ask: Any, world: World, number: int, status: int, words: str) -> None:
    assert words in refusal(ask, "POST", f"/environments/demo/revisions/{number}/roll-back", status)
    assert (world.demo.status, world.demo.change) == (Status.AVAILABLE, None)


def test_an_earlier_revision_equal_to_the_present_one_is_no_way_back(ask: Any, world: World) -> None:
    world.update(world.first)
    world.environments.request("demo", Event.UPDATED, NOW)
    assert "configuration of revision 1 already" in refusal(ask, "POST", "/environments/demo/revisions/1/roll-back")


def test_a_revision_under_way_is_no_way_back(ask: Any, world: World) -> None:
    world.update(world.first)
    assert "never applied (PENDING)" in refusal(ask, "POST", "/environments/demo/revisions/4/roll-back")


def test_where_no_migration_leads_a_snapshot_does(ask: Any, world: World) -> None:
    world.environments.rows["demo"] = replace(world.demo, spec=replace(world.third, airflow_version="1.10.15"))
    sentence = refusal(ask, "POST", "/environments/demo/revisions/1/roll-back")
    assert sentence.endswith("A snapshot leads back too: aerodrome snapshots list demo")
    ask("POST", "/environments/demo/snapshots/3/restore")


CLONE = "snapshots/3/clone?as=copy"


def assert_untouched(world: World) -> None:
    assert (world.demo.status, world.demo.change) == (Status.AVAILABLE, None)
    assert [*world.environments.rows] == ["demo"]


# (what an update is refused for, the configuration of the past, words that the sentence must have)
REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a version that is not offered", {"airflow_version": "2.9.2"}, ["AirflowVersion '2.9.2' is not offered"]),
    ("a class that is none", {"environment_class": "mw1.old"}, ["EnvironmentClass 'mw1.old' is unknown"]),
    ("more workers than the class has", {"max_workers": 99}, ["MaxWorkers is 99", "mw1.small allows 1 to 25"]),
    ("more workers at least than at most", {"min_workers": 11}, ["MinWorkers (11)", "MaxWorkers (10)"]),
    ("too few schedulers", {"schedulers": 1}, ["Schedulers is 1", "2 to 5"]),
    ("an access mode of a later line", {"webserver_access_mode": "PUBLIC_AND_PRIVATE"}, ["Airflow 3.2"]),
    ("an absolute folder", {"dag_s3_path": "/dags"}, ["DagS3Path begins with '/'"]),
    ("a path that climbs", {"plugins_s3_path": "../p.zip"}, ["PluginsS3Path", "'..'"]),
    (
        "an option that MWAA forbids",
        {"airflow_configuration_options": {"core.multi_team": "True"}},
        ["core.multi_team cannot be set"],
    ),
    ("a version without a file", {"plugins_s3_object_version": "7"}, ["PluginsS3ObjectVersion was given without"]),
    ("two mistakes", {"max_workers": 99, "dag_s3_path": ""}, ["MaxWorkers is 99", "DagS3Path is empty"]),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("revisions/1/roll-back", "Revision 1 of demo cannot be applied again: "),
        ("snapshots/3/restore", "Snapshot 3 of demo cannot be restored: "),
        (CLONE, "Snapshot 3 of demo cannot be cloned: "),
    ],
)
def test_what_an_update_is_refused_for_no_way_leads_to(
    ask: Any, world: World, way: str, what: str, changes: dict[str, Any], words: list[str]
) -> None:
    wanted = world.was(**changes)
    sentence = refusal(ask, "POST", f"/environments/demo/{way}")
    assert sentence.startswith(what)
    assert [word for word in words if word not in sentence] == []
    assert "Choose another" in sentence
    offered = ("3.3.1", "2.11.2", "1.10.15", "1.10.12")
    reasons = validation.update_refusals(wanted.document(), world.demo.spec, wanted, offered=offered)
    assert [each for each in reasons if each not in sentence] == []
    assert_untouched(world)


def test_a_way_back_to_the_version_that_runs_needs_no_offer(ask: Any, world: World) -> None:
    world.environments.rows["demo"] = replace(world.demo, spec=replace(world.third, airflow_version="2.10.3"))
    world.was(airflow_version="2.10.3")
    ask("POST", "/environments/demo/revisions/1/roll-back")


@pytest.mark.parametrize("way", [*WAYS_BACK, CLONE])
def test_no_way_leads_to_a_role_that_mwaa_may_not_assume(ask: Any, world: World, way: str) -> None:
    world.preflight.role_problem = CallerError("ExecutionRoleArn: Failed to assume role.")
    assert refusal(ask, "POST", f"/environments/demo/{way}") == "ExecutionRoleArn: Failed to assume role."
    name = "copy" if way == CLONE else "demo"
    assert world.preflight.roles_checked == [(name, world.first.execution_role_arn)]
    assert_untouched(world)


@pytest.mark.parametrize("way", [*WAYS_BACK, CLONE])
def test_no_way_leads_to_a_version_that_this_machine_cannot_run(ask: Any, world: World, way: str) -> None:
    world.environments.rows["demo"] = replace(world.demo, spec=replace(world.third, airflow_version="3.3.1"))
    world.preflight.version_problem = CallerError("Airflow 2.11.2 needs Python 3.12, and none was found.")
    assert "needs Python 3.12" in refusal(ask, "POST", f"/environments/demo/{way}")
    assert world.preflight.versions_checked == ["2.11.2"]
    assert_untouched(world)


@pytest.mark.parametrize("way", WAYS_BACK)
def test_the_version_that_runs_is_not_looked_for_again(ask: Any, world: World, way: str) -> None:
    world.preflight.version_problem = CallerError("Airflow 2.11.2 needs Python 3.12, and none was found.")
    ask("POST", f"/environments/demo/{way}")
    assert world.preflight.versions_checked == []


@pytest.mark.parametrize(("way", "name", "kind"), [
    *((way, "demo", "UPDATE_WARNED") for way in WAYS_BACK),
    (CLONE, "copy", "CREATE_WARNED"),
])  # fmt: skip
def test_what_will_surprise_is_among_the_events(ask: Any, world: World, way: str, name: str, kind: str) -> None:
    world.preflight.surprises = ["One is not heeded.", "Another has a new name."]
    ask("POST", f"/environments/demo/{way}")
    told = [(event["kind"], event["sentence"]) for event in world.environments.events(name)]
    assert told[-2:] == [(kind, sentence) for sentence in world.preflight.surprises]


@pytest.mark.parametrize("way", [*WAYS_BACK, CLONE])
def test_of_what_is_refused_nothing_warns(ask: Any, world: World, way: str) -> None:
    world.preflight.surprises = ["One is not heeded."]
    world.preflight.bucket_problem = CallerError("It is not fit.")
    refusal(ask, "POST", f"/environments/demo/{way}")
    assert [event for event in world.environments.events("demo") if event["kind"].endswith("_WARNED")] == []


def test_snapshots_of_one_environment_and_of_all(ask: Any, world: World) -> None:
    [found] = ask("GET", "/snapshots?environment=demo")
    assert found == {
        "environment": "demo",
        "number": 3,
        "taken_at": (NOW + timedelta(minutes=3)).isoformat(),
        "airflow_version": "2.11.2",
        "size": 1024,
        "configuration": world.first.document(),
    }
    assert ask("GET", "/snapshots") == [found]


def test_a_clone_has_secrets_of_its_own_but_for_the_key_of_its_connections(ask: Any, world: World) -> None:
    assert ask("POST", "/environments/demo/snapshots/3/clone?as=copy") == {"name": "copy", "revision": 1}
    copy = world.environments.rows["copy"]
    assert (copy.status, copy.spec) == (Status.CREATING, world.first)
    assert copy.change is not None
    assert copy.change.seed == Seed(identifier=world.demo.identifier, number=3)
    own, theirs = VAULT.open(copy.sealed_secrets), VAULT.open(world.demo.sealed_secrets)
    assert own.fernet_key == theirs.fernet_key
    assert own.database_password != theirs.database_password
    assert (world.demo.status, world.demo.change) == (Status.AVAILABLE, None)


@pytest.mark.parametrize("name", ["1st", "a.b", "a/b", "a" * 81, "copy\n", "ä"])
def test_a_clone_needs_a_name(ask: Any, world: World, name: str) -> None:
    path = f"/environments/demo/snapshots/3/clone?as={quote(name, safe='')}"
    assert refusal(ask, "POST", path).endswith("use at most 80 letters, digits, - and _, a letter first.")
    assert [*world.environments.rows] == ["demo"]


def test_a_clone_without_a_name_a_taken_name_and_one_beyond_the_quota(ask: Any, world: World) -> None:
    clone = "/environments/demo/snapshots/3/clone"
    for path in (clone, f"{clone}?as="):
        assert refusal(ask, "POST", path) == "as is missing"
    assert "demo already exists" in refusal(ask, "POST", f"{clone}?as=demo")
    ask("POST", f"{clone}?as=copy")
    assert f"quota of {QUOTA} environments" in refusal(ask, "POST", f"{clone}?as=third")
    assert [*world.environments.rows] == ["demo", "copy"]


def test_a_clone_of_what_the_bucket_no_longer_has(ask: Any, world: World) -> None:
    world.preflight.bucket_problem = CallerError("Unable to read version 7 of file plugins.zip")
    assert "version 7" in refusal(ask, "POST", "/environments/demo/snapshots/3/clone?as=copy")
    assert [*world.environments.rows] == ["demo"]


def test_a_snapshot_is_removed_once(ask: Any, world: World) -> None:
    path = "/environments/demo/snapshots/3"
    assert ask("DELETE", path) == {"name": "demo", "snapshot": 3}
    assert world.removed.snapshots == [(world.demo.identifier, 3)]
    assert "demo has no snapshot 3" in refusal(ask, "DELETE", path, 404)
    assert ask("GET", "/snapshots") == []


def test_a_snapshot_that_a_change_begins_from_stays(ask: Any, world: World) -> None:
    ask("POST", "/environments/demo/snapshots/3/clone?as=copy")
    assert "Snapshot 3 of demo is being used" in refusal(ask, "DELETE", "/environments/demo/snapshots/3")
    world.environments.request("copy", Event.CREATED, NOW)
    ask("DELETE", "/environments/demo/snapshots/3")


def test_a_snapshot_that_a_change_makes_stays(ask: Any, world: World) -> None:
    world.update(world.first)
    world.snapshots.add(world.snapshot(4))
    assert "Snapshot 4 of demo is being used" in refusal(ask, "DELETE", "/environments/demo/snapshots/4")
    assert world.removed.snapshots == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "snapshots/9/restore"), ("POST", "snapshots/9/clone?as=copy"), ("DELETE", "snapshots/9")],
)
def test_no_snapshot_of_that_number(ask: Any, world: World, method: str, path: str) -> None:
    assert "demo has no snapshot 9: aerodrome snapshots list demo" in refusal(
        ask, method, f"/environments/demo/{path}", 404
    )
    assert (world.demo.change, [*world.environments.rows]) == (None, ["demo"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/environments/other/revisions"),
        ("POST", "/environments/other/revisions/1/roll-back"),
        ("GET", "/snapshots?environment=other"),
        ("POST", "/environments/other/snapshots/3/restore"),
        ("POST", "/environments/other/snapshots/3/clone?as=copy"),
        ("DELETE", "/environments/other/snapshots/3"),
    ],
)
def test_nobody_of_that_name(ask: Any, method: str, path: str) -> None:
    assert refusal(ask, method, path, 404) == "Environment 'other' not found: aerodrome status shows which ones exist."


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/environments/demo/revisions/1/roll-back", 405),
        ("GET", "/environments/demo/snapshots/3", 405),
        ("POST", "/environments/demo/revisions/-1/roll-back", 404),
        ("POST", "/environments/demo/revisions/one/roll-back", 404),
        ("DELETE", "/environments/demo/snapshots/3.0", 404),
    ],
)
def test_no_such_question(ask: Any, world: World, method: str, path: str, status: int) -> None:
    ask(method, path, status)
    assert (world.demo.change, world.removed.snapshots) == (None, [])
