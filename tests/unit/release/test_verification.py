"""When DAGs are tried at all: where Airflow would find no file, no process is started."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from aerodrome.release import verification
from aerodrome.release.inside import probe
from aerodrome.release.installation import Installation
from aerodrome.release.verification import ParseResult, Trial


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("dag.py", "")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"sql/report.sql": b"SELECT 1", "notes.txt": b"", ".airflowignore": b"", "empty.zip": b""}, False),
        ({"team/dag.py": b""}, True),
        ({"team/packed.dat": archive()}, True),
    ],
)
def test_modules_and_archives_are_dag_files(tmp_path: Path, files: dict[str, bytes], expected: bool) -> None:  # noqa: FBT001 - a table
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert verification.has_dag_files(tmp_path) is expected


def test_a_link_may_lead_to_some(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to("/")
    assert verification.has_dag_files(tmp_path)


def test_trying_nothing_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification.sandbox, "run", lambda *_, **__: pytest.fail("a process was started"))
    (tmp_path / "dags").mkdir()
    installed = Installation(version="3.3.1", lock="l", folder=tmp_path)
    trial = Trial(installation=installed, site=None, plugins=None, scratch=tmp_path)
    assert verification.parse_dags(trial, tmp_path / "dags") == ParseResult(0, (), ())


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"plugins/cow-1.0-py3-none-any.whl": "", "site/cow.py": "", "site/cow-1.0.dist-info/METADATA": ""}, False),
        ({"site/cow-1.0.dist-info/entry_points.txt": "[console_scripts]\ncow = cow:main\n"}, False),
        ({"plugins/mine.py": ""}, True),
        ({"plugins/deep/er/mine.py": ""}, True),
        ({"site/cow-1.0.dist-info/entry_points.txt": "[airflow.plugins]\ncow = cow:Plugin\n"}, True),
        ({"site/cow-1.0.dist-info/entry_points.txt": "[apache_airflow_provider]\ncow = cow:info\n"}, True),
        ({"site/airflow_local_settings.py": ""}, True),
    ],
)
def test_airflow_is_loaded_where_it_would_load_something(
    tmp_path: Path,
    files: dict[str, str],
    expected: bool,  # noqa: FBT001 - a table
) -> None:
    for name in ("plugins", "site"):
        (tmp_path / name).mkdir()
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert verification.has_plugins(tmp_path / "plugins", tmp_path / "site") is expected


def test_a_release_of_nothing_has_no_plugins() -> None:
    assert not verification.has_plugins(None, None)


FRAMES = 'Traceback (most recent call last):\n  File "/d/a.py", line 3, in <module>\n    x()\n'


@pytest.mark.parametrize(
    ("end", "kind", "message"),
    [
        ("ValueError: no", "ValueError", "no"),
        (
            "airflow.exceptions.AirflowTaskTimeout: too long.\nSee:\n* https://docs, PID: 1",
            "AirflowTaskTimeout",
            "too long.\nSee:\n* https://docs, PID: 1",
        ),
        ("KeyboardInterrupt", "KeyboardInterrupt", ""),
        ("E: 1\n\nDuring handling of the above exception, another exception occurred:\n\n" + FRAMES + "F: 2", "F", "2"),
    ],
)
def test_the_kind_of_an_error_is_read_from_its_traceback(end: str, kind: str, message: str) -> None:
    found = probe.told_of(FRAMES + end)
    assert (found["kind"], found["message"]) == (kind, message)


def test_what_is_no_traceback_is_told_whole() -> None:
    assert probe.told_of("it is, that: so")["kind"] == "Error"
    assert probe.told_of("it is so")["message"] == "it is so"
