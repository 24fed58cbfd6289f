"""When the folder of task logs is nearly full, the oldest go; what is being written stays."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aerodrome.errors import BrokenError
from aerodrome.sidecar import config, room
from aerodrome.sidecar.room import TaskLogs
from unit.sidecar.test_config import WHOLE

SIZE = 64 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(8):
        file = tmp_path / f"dag/{number}.log"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * SIZE)
    return tmp_path


def test_the_oldest_go_until_there_is_room(folder: Path) -> None:
    logs = TaskLogs(folder, most=8 * SIZE)
    assert logs.look(time.time() + room.SPARED + 1) is False
    assert 5 <= len(list(folder.glob("dag/*.log"))) <= 6
    assert not (folder / "dag/0.log").exists()


def test_what_was_written_just_now_stays(folder: Path) -> None:
    TaskLogs(folder, most=SIZE).look(time.time())
    assert len(list(folder.glob("dag/*.log"))) == 8


def test_nothing_goes_where_there_is_room(folder: Path) -> None:
    TaskLogs(folder, most=20 * SIZE).look(time.time() + 3600)
    assert len(list(folder.glob("dag/*.log"))) == 8
    assert TaskLogs(folder / "missing", most=1).look(0.0) is False


def test_the_configuration_says_how_many_bytes() -> None:
    assert config.parse(WHOLE).task_logs is None  # as an earlier control plane wrote it
    found = config.parse(WHOLE | {"task_logs": {"folder": "/data/logs", "most": 7}})
    assert found.task_logs == TaskLogs(Path("/data/logs"), most=7)
    for most in (0, -1, True, "7", None):
        with pytest.raises(BrokenError, match="task_logs"):
            config.parse(WHOLE | {"task_logs": {"folder": "/data/logs", "most": most}})


def test_what_the_dags_folder_may_have_is_told_or_usual():
    assert config.parse(WHOLE).dags_bytes == 2**30
    assert config.parse(WHOLE | {"dags_bytes": 7}).dags_bytes == 7
    for most in (0, True, "7"):
        with pytest.raises(BrokenError, match="dags_bytes"):
            config.parse(WHOLE | {"dags_bytes": most})
