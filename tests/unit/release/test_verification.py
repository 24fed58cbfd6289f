"""When DAGs are tried at all: where Airflow would find no file, no process is started."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from aerodrome.release import verification
from aerodrome.release.installation import Installation
from aerodrome.release.verification import Parsed, Trial


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
    monkeypatch.setattr(verification.confined, "run", lambda *_, **__: pytest.fail("a process was started"))
    (tmp_path / "dags").mkdir()
    installed = Installation(version="3.3.1", lock="l", folder=tmp_path)
    trial = Trial(installation=installed, site=None, plugins=None, scratch=tmp_path)
    assert verification.parse_dags(trial, tmp_path / "dags") == Parsed(0, (), ())
