"""`aerodrome login`: a link from the API, asked for with the key that lies in the data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aerodrome.cli import login, main
from aerodrome.errors import CallerError
from aerodrome.model.lifecycle import Status
from aerodrome.model.roles import AirflowRole
from aerodrome.settings import Settings
from protocol.api import raw


@pytest.fixture
def settings(tmp_path: Path, port: int) -> Settings:
    lines = [f"aws_access_key_id = {raw.ADMIN.access_key_id}", f"aws_secret_access_key = {raw.ADMIN.secret}"]
    (tmp_path / "credentials").write_text("\n".join(["[aerodrome]", *lines, ""]))
    return Settings(data=tmp_path, port=port)


@pytest.fixture
def available(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    behind.change("demo", status=Status.AVAILABLE)


@pytest.mark.usefixtures("available")
@pytest.mark.parametrize("wanted", [None, *AirflowRole])
def test_the_link_logs_in_with_the_wanted_role(
    settings: Settings, port: int, behind: Any, wanted: AirflowRole | None
) -> None:
    address = login.link(settings, port, "demo", wanted)

    page, _, token = address.partition("#")
    assert page == "https://00000001.us-east-1.airflow.localhost/aws_mwaa/aws-console-sso?login=true"
    assert behind.logins.issued[token].role == (wanted or "Admin")


def test_a_refusal_is_the_commands_sentence(settings: Settings, port: int) -> None:
    with pytest.raises(CallerError, match="'absent' not found"):
        login.link(settings, port, "absent", None)


@pytest.mark.parametrize("text", [None, "", "[x]", "[x]\naws_access_key_id = a", "nonsense"])
def test_without_a_key_the_fix_is_said(tmp_path: Path, port: int, text: str | None) -> None:
    if text is not None:
        (tmp_path / "credentials").write_text(text)
    with pytest.raises(CallerError, match="aerodrome up"):
        login.link(Settings(data=tmp_path, port=port), port, "demo", None)


def test_roles_are_known_by_name() -> None:
    assert login.role("viewer") is AirflowRole.VIEWER
    with pytest.raises(CallerError, match="Admin, Op, User, Viewer, Public"):
        login.role("Root")


@pytest.mark.usefixtures("available")
def test_the_command_prints_the_link_and_nothing_else(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(main.webbrowser, "open", opened.append)
    monkeypatch.setenv("AERODROME_DATA", str(settings.data))
    monkeypatch.setenv("AERODROME_PORT", str(settings.port))
    printed = CliRunner().invoke(main.app, ["login", "demo", "--role", "User"])
    also = CliRunner().invoke(main.app, ["login", "demo", "--open"])

    assert (printed.exit_code, printed.output.count("\n")) == (0, 1)
    assert printed.output.startswith("https://")
    assert [f"{each}\n" for each in opened] == [also.output]
