"""The operator's socket: events with their filters, and explanations; and what the command line makes of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from rich.console import Console

from aerodrome.cli import events_query, iam_explain, rendering
from aerodrome.errors import CallerError
from aerodrome.identity.authorizer import Authorizer
from aerodrome.model.iam import roles, users
from aerodrome.model.iam.directory import Directory
from aerodrome.operator.app import create_app
from aerodrome.settings import Settings
from protocol.api import raw
from protocol.api.behind import dependencies, operator_dependencies
from protocol.api.memory import MemoryIdentity, unique_id
from protocol.api.serving import served

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA = "arn:aws:iam::000000000000:user/ada"
ADA_ID = unique_id("ada")
ENGINEER = "arn:aws:iam::000000000000:role/Engineer"
ROW = {
    "id": 7,
    "at": NOW,
    "environment": "demo",
    "kind": "API_REQUEST",
    "sentence": "No identity-based policy allows it.",
    "detail": {"error": "AccessDeniedException"},
    "principal": ADA,
    "action": "airflow:DeleteEnvironment",
    "resource": "arn:aws:airflow:us-east-1:000000000000:environment/demo",
    "allowed": False,
    "address": "127.0.0.1",
}


class Log:
    """Stands where the audit log stands, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def entries(self, **filters: Any) -> list[dict[str, Any]]:
        self.asked.append(filters)
        return [dict(ROW)]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def operator(log: Log, behind: Any) -> Iterator[int]:
    identity: MemoryIdentity = behind.identity
    identity.add_user(
        "ada",
        {"Sid": "Look", "Effect": "Allow", "Action": "airflow:Get*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "airflow:*",
            "Resource": "*",
            "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        },
    )
    directory = Directory(partition="aws", account="000000000000")
    directory = users.create(directory, "ada", unique_id=ADA_ID, now=NOW)
    directory = roles.create(directory, "Engineer", unique_id="AROA1", trust='{"Statement": []}', now=NOW)
    identity.grants["AROA1"] = identity.grants[ADA_ID]
    deps = operator_dependencies(
        operations=dependencies(Settings(), authorizer=Authorizer(identity)),
        audit=log,
        directory=lambda: directory,
        started_at=NOW,
    )
    with served(create_app(deps)) as port:
        yield port


def get(port: int, path: str) -> raw.Answer:
    return raw.exchange(port, "GET", path, None, {})


def drawn(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_events_without_filters(operator: int, log: Log) -> None:
    [event] = get(operator, "/events").json

    assert event == {**ROW, "at": NOW.isoformat()}
    assert log.asked == [
        {
            "environment": None,
            "principal": None,
            "action": None,
            "since": None,
            "denied_only": False,
            "reads": False,
            "after": 0,
            "limit": 100,
            "lifecycle": True,
        }
    ]


def test_the_command_lines_filters_arrive(operator: int, log: Log) -> None:
    filters = {
        "environment": "demo & more",
        "principal": ADA,
        "action": "airflow:*",
        "denied": True,
        "since": NOW,
        "limit": 5,
        "reads": True,
        "after": 9,
    }
    assert get(operator, events_query.path(filters)).status == 200

    [asked] = log.asked
    assert asked == {
        "environment": "demo & more",
        "principal": ADA,
        "action": "airflow:*",
        "since": NOW,
        "denied_only": True,
        "reads": True,
        "after": 9,
        "limit": 5,
        "lifecycle": True,
    }


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=٣", "since=yesterday", "since=2026-01-01", "after=-1"]
)
def test_filters_that_are_none(operator: int, log: Log, query: str) -> None:
    answer = get(operator, f"/events?{quote(query, safe='=&-')}")

    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["message"]
    assert log.asked == []


def explained(operator: int, action: str, *context: str, principal: str = ADA) -> Any:
    return get(operator, iam_explain.path(principal, action, "*", context)).json


def test_an_explanation_names_the_statement_that_allowed(operator: int) -> None:
    answer = explained(operator, "airflow:GetEnvironment")

    assert (answer["allowed"], answer["refusal"]) == (True, "")
    assert [each["decides"] for each in answer["statements"]] == [True, False]
    assert answer["statements"][0]["statement"] == "Look"
    assert "aws:SourceIp" in answer["statements"][1]["why"]
    assert "statement 1 (Sid Look) of inline policy own of user ada" in drawn(iam_explain.shown(answer))


def test_a_role_is_explained_as_its_sessions_are(operator: int) -> None:
    answer = explained(operator, "airflow:GetEnvironment", principal=ENGINEER)

    assert answer["principal"] == "arn:aws:sts::000000000000:assumed-role/Engineer/explain"
    assert (answer["allowed"], answer["context"]["aws:principaltype"]) == (True, ["AssumedRole"])


def test_an_explanation_names_the_statement_that_denied(operator: int) -> None:
    answer = explained(operator, "airflow:GetEnvironment", "aws:SourceIp=10.1.1.1")

    assert (answer["allowed"], answer["explicit"]) == (False, True)
    assert [each["decides"] for each in answer["statements"]] == [False, True]
    assert answer["context"]["aws:sourceip"] == ["10.1.1.1"]
    assert answer["refusal"].startswith(f"User: {ADA} is not authorized to perform: airflow:GetEnvironment")
    shown = drawn(iam_explain.shown(answer))
    assert shown.startswith("denied.")
    assert "→" in shown


def test_an_explanation_of_what_nothing_allows(operator: int) -> None:
    answer = explained(operator, "iam:PassRole")

    assert (answer["allowed"], answer["explicit"]) == (False, False)
    assert not any(each["decides"] for each in answer["statements"])


def test_questions_that_are_none(operator: int) -> None:
    assert get(operator, iam_explain.path("arn:aws:iam::000000000000:user/x", "a:b", "*", ())).status == 404
    assert get(operator, "/explain?principal=x").status == 400
    assert get(operator, iam_explain.path(ADA, "a:b", "*", ("novalue",))).status == 400


def test_events_are_shown_with_who_and_how_it_ended() -> None:
    event = {**ROW, "at": NOW.isoformat()}
    allowed = {**event, "allowed": True, "detail": {}}
    unknown = {**event, "principal": None}
    life = {**event, "kind": "CREATED", "allowed": None, "sentence": "It is there.", "principal": None}
    lines = drawn(rendering.events([event, allowed, unknown, life])).splitlines()

    assert "user/ada" in lines[1]
    assert "airflow:DeleteEnvironment on environment/demo: refused. No identity-based" in lines[1]
    assert lines[2].rstrip().endswith("airflow:DeleteEnvironment on environment/demo: allowed.")
    assert "nobody known (127.0.0.1)" in lines[3]
    assert lines[4].split()[2:] == ["CREATED", "demo", "It", "is", "there."]


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("1h", timedelta(hours=1)), ("7d", timedelta(7))],
)
def test_since_may_be_an_age(text: str, ago: timedelta) -> None:
    assert events_query.since(text, NOW) == NOW - ago


def test_since_may_be_a_time() -> None:
    assert events_query.since("2026-11-23T11:00:00+00:00", NOW) == NOW - timedelta(hours=1)
    assert events_query.since("2026-11-23T11:00:00", NOW).tzinfo is not None


@pytest.mark.parametrize("text", ["", "1", "1x", "999999d999", "999999d", "-1h", "now"])
def test_since_that_is_neither(text: str) -> None:
    with pytest.raises(CallerError, match="--since"):
        events_query.since(text, NOW)


def test_an_environment_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_query.operator_client, "ask", lambda *_: [])
    settings: Any = None

    with pytest.raises(CallerError, match="Nothing is known"):
        events_query.once(settings, {"environment": "x", "limit": 100})
    assert events_query.once(settings, {"environment": "x", "limit": 100, "denied": True}) == []
    assert events_query.once(settings, {"limit": 100}) == []


def test_following_shows_each_event_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[8, 9], [8, 9, 11], [10, 11], []]
    asked: list[str] = []

    def ask(_settings: Any, _method: str, path: str) -> Any:
        asked.append(path)
        return [{"id": number} for number in answers[len(asked) - 1]]

    monkeypatch.setattr(events_query.operator_client, "ask", ask)
    monkeypatch.setattr(events_query, "PAUSE", 0.0)
    settings: Any = None
    batches = events_query.follow(settings, {"limit": 2})
    seen = [[each["id"] for each in next(batches)] for _ in answers]

    assert seen == [[8, 9], [11], [10], []]
    assert "after" not in asked[0]
    assert "after=0" in asked[1]


def test_following_in_json_is_one_document_a_line(capsys: Any) -> None:
    from aerodrome.cli import main  # noqa: PLC0415 - typer's application is made on import

    main._follow(iter([[{"id": 1}], [], [{"id": 2}]]), as_json=True)
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
