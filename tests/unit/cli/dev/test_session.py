"""A session in a world of its own: what it asks for as files change and changes end, well or badly."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from aerodrome.cli import login, operator_client
from aerodrome.cli.dev import aws_resources, folder_tree, session
from aerodrome.cli.dev.steps import EnvironmentFile
from aerodrome.errors import CallerError, RetryError
from aerodrome.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """A bucket and perhaps an environment; what is asked of it is done when the test says so."""

    objects: dict[str, str] = field(default_factory=dict)
    environment: dict | None = None
    report: list[str] = field(default_factory=list)
    asked: list[tuple] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    """The digest that each version of any object has."""
    is_away: bool = False
    mwaa: None = None

    def make_bucket(self):
        self.asked.append(("bucket",))

    def make_role(self):
        self.asked.append(("role",))

    def mark_folder(self):
        pass

    def adopt(self, _):
        pass

    def dags(self):
        return dict(self.objects)

    def put_dag(self, path, data):
        if self.is_away:
            raise RetryError("the bucket is away", delay=0)
        self.objects[path] = folder_tree.digest(data)

    def delete_dags(self, paths):
        for path in paths:
            del self.objects[path]

    def digest(self, _member, version):
        return self.versions[int(version)]

    def put(self, _member, _data, digest):
        self.versions.append(digest)
        return str(len(self.versions) - 1)

    def get(self):
        return self.environment

    def create(self, files, options, _airflow):
        self.asked.append(("create", set(files)))
        self.environment = {"Status": "CREATING", "Arn": "a", "AirflowConfigurationOptions": options}
        self._take(files)

    def update(self, files, gone, options, _airflow):
        self.asked.append(("update", set(files), set(gone), options))
        self.environment["Status"] = "UPDATING"
        self._asked = (files, gone)

    def delete(self):
        self.asked.append(("delete",))
        self.environment["Status"] = "DELETING"

    def _take(self, files, gone=()):
        for member, version in files.items():
            self.environment |= {member.path: "x", member.version: version}
        for member in gone:
            self.environment[member.path] = ""

    def end(self, status="AVAILABLE", code=None):
        """The change under way ends."""
        self.environment["Status"] = status
        self.environment["AirflowVersion"] = "3.3.1"
        error = {"ErrorCode": code, "ErrorMessage": "requirements.txt, line 1: no | its log"} if code else None
        self.environment["LastUpdate"] = {"Error": error} if error else {}
        if status == "AVAILABLE" and hasattr(self, "_asked"):
            self._take(*self._asked)

    def answer(self, _settings, _method, path):
        if path.endswith("/revisions"):
            return [{"number": 1, "report": self.report}]
        if self.environment is None:
            return {"environments": []}
        shown = {
            "name": "shop", "status": self.environment["Status"], "revision": 1, "identifier": "i",
            "units": [{"state": "ready"}], "progress": {"phase": "p", "detail": "d", "fraction": None},
        }  # fmt: skip
        return {"environments": [shown]}


class Airflow:
    has_rest = False

    def __init__(self, *_):
        pass


class Heard:
    """What a session tells."""

    def __init__(self):
        self.said = []

    def say(self, event, _mark, sentence, **about):
        self.said.append((event, sentence, about))

    def progress(self, *_):
        pass

    def quiet(self):
        pass

    def events(self):
        """What was said since it was asked last."""
        found, self.said = self.said, []
        return [event for event, _, _ in found]


@pytest.fixture
def world(monkeypatch):
    found = World()
    monkeypatch.setattr(session, "AwsResources", lambda *_: found)
    monkeypatch.setattr(session, "AirflowRest", Airflow)
    monkeypatch.setattr(operator_client, "ask", found.answer)
    monkeypatch.setattr(login, "link", lambda *_: "https://x/aws_mwaa/aws-console-sso#t")
    return found


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "shop"
    (folder / "dags").mkdir(parents=True)
    (folder / "dags" / "a.py").write_text("1")
    (folder / "requirements.txt").write_text("toolz")
    return folder


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def round_of(world, project, heard):  # noqa: ARG001 - the session finds it
    """Begins a session; calling it is a round."""
    address = session.address(project, Settings(), name=None, bucket=None, role=None)
    options = session.DevOptions(folder=project, address=address, named=False, makes_bucket=True, opens=False)
    one = session.Session(options, Settings(), 4560, heard)
    one._prepare()

    def turn():
        one._folder._scan()
        one._round()

    turn()
    return turn


def asked(world):
    found, world.asked = world.asked, []
    return found


@pytest.fixture
def running(round_of, world, heard):
    """A session whose environment runs."""
    world.end()
    round_of()
    asked(world)
    heard.events()
    return round_of


def test_from_nothing_to_an_environment(round_of, world, heard):
    assert asked(world) == [("bucket",), ("role",), ("create", {EnvironmentFile.REQUIREMENTS})]
    assert set(world.objects) == {"a.py"}
    round_of()
    assert heard.events() == ["environment", "uploaded"]
    world.report = ["a note"]
    world.end()
    round_of()
    assert heard.events() == ["note", "available", "airflow", "watching"]
    round_of()
    assert (asked(world), heard.events()) == ([], [])


def test_a_change_is_brought_where_it_belongs(running, world, project, heard):
    (project / "dags" / "b.py").write_text("2")
    (project / "startup.sh").write_text("true")
    running()
    assert heard.events() == ["uploaded", "updating"]
    assert asked(world) == [("update", {EnvironmentFile.STARTUP}, set(), None)]
    (project / "dags" / "a.py").unlink()
    (project / "requirements.txt").unlink()
    running()
    assert (asked(world), set(world.objects)) == ([], {"b.py"})
    world.end()
    running()
    assert heard.events() == ["deleted", "available", "updating"]
    assert asked(world) == [("update", set(), {EnvironmentFile.REQUIREMENTS}, None)]


def test_a_change_that_fails_is_told_and_not_repeated(running, world, project, heard):
    (project / "requirements.txt").write_text("no-such")
    running()
    world.end("UPDATE_FAILED", "REQUIREMENTS_CONFLICT")
    asked(world), heard.events()
    running()
    [(event, sentence, _)] = heard.said
    assert event == "failed"
    assert sentence.splitlines() == [
        "REQUIREMENTS_CONFLICT: requirements.txt, line 1: no", "its log", "The environment goes on as it was.",
    ]  # fmt: skip
    running()
    assert asked(world) == []
    (project / "requirements.txt").write_text("toolz>=1")
    running()
    assert asked(world) == [("update", {EnvironmentFile.REQUIREMENTS}, set(), None)]


def test_a_change_that_failed_for_a_dag_s_sake_is_tried_again_with_another_dag(running, world, project):
    (project / "requirements.txt").write_text("toolz<1")
    running()
    world.end("UPDATE_FAILED", "DAG_IMPORT_FAILED")
    running()
    asked(world)
    (project / "dags" / "a.py").write_text("mended")
    running()
    running()
    assert asked(world) == [("update", {EnvironmentFile.REQUIREMENTS}, set(), None)]


def test_an_environment_that_cannot_be_created_is_made_anew_with_other_files(round_of, world, project, heard):
    asked(world)
    world.end("CREATE_FAILED", "REQUIREMENTS_CONFLICT")
    round_of()
    assert asked(world) == [("delete",)]
    assert "failed" in heard.events()
    round_of()
    world.environment = None
    round_of()
    assert asked(world) == []
    (project / "requirements.txt").write_text("toolz>=1")
    round_of()
    assert asked(world) == [("create", {EnvironmentFile.REQUIREMENTS})]
    world.end()
    round_of()
    assert "available" in heard.events()


def test_while_somebody_else_changes_it_all_but_dags_waits(running, world, project):
    world.environment["Status"] = "MAINTENANCE"
    (project / "requirements.txt").write_text("toolz>=1")
    (project / "dags" / "b.py").write_text("2")
    running()
    running()
    assert (asked(world), set(world.objects)) == ([], {"a.py", "b.py"})
    world.end()
    running()
    assert asked(world) == [("update", {EnvironmentFile.REQUIREMENTS}, set(), None)]


def test_what_could_not_be_brought_is_brought_later(running, world, project):
    world.is_away = True
    (project / "dags" / "b.py").write_text("2")
    with pytest.raises(RetryError):
        running()
    world.is_away = False
    running()
    assert set(world.objects) == {"a.py", "b.py"}


def test_an_environment_that_vanishes_is_told(round_of, world):
    world.environment = None
    with pytest.raises(CallerError, match="deleted meanwhile"):
        round_of()


def existing(world, project, status):
    """An environment of this folder, from another day."""
    address = session.address(project, Settings(), name=None, bucket=None, role=None)
    world.versions = [folder_tree.digest(b"toolz")]
    world.objects = {"a.py": folder_tree.digest(b"1")}
    world.environment = {
        "Status": status, "Arn": "a", "AirflowVersion": "3.3.1", "DagS3Path": "dags", "RequirementsS3Path": "x",
        "RequirementsS3ObjectVersion": "0", "SourceBucketArn": f"arn:aws:s3:::{address.bucket}",
        "Tags": {aws_resources.TAG: address.mark},
    }  # fmt: skip


def test_an_environment_that_is_there_already_is_used_as_it_is(world, project, heard, request):
    existing(world, project, "UNAVAILABLE")
    turn = request.getfixturevalue("round_of")
    assert asked(world) == [("bucket",), ("role",)]
    assert heard.events() == ["environment"]
    world.end("UPDATE_FAILED", "REQUIREMENTS_CONFLICT")  # of that other day: no news
    turn()
    assert heard.events() == ["available", "airflow", "watching"]
    turn()
    assert (asked(world), heard.events()) == ([], [])


def test_one_that_could_not_be_created_then_makes_room(world, project, request):
    existing(world, project, "CREATE_FAILED")
    turn = request.getfixturevalue("round_of")
    assert asked(world)[-1] == ("delete",)
    world.environment = None
    turn()
    assert asked(world) == [("create", {EnvironmentFile.REQUIREMENTS})]
