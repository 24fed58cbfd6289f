from __future__ import annotations

import json
import os

import pytest

from aerodrome.cell import kernel, specs, state_file, units

pytestmark = pytest.mark.skipif(not kernel.supported(), reason="a cell needs /proc")

RAW = {"name": "redis", "how": "exec", "argv": ["r", "hunter2"], "env": {"P": "hunter2"}, "cwd": "/", "log": "/l"}


def record() -> state_file.Record:
    spec = specs.parse(RAW)
    unit = units.UnitState("redis", after=("x",), state=units.READY, begun=True, ready_since=5.0)
    return state_file.Record(
        specs.parse(spec.public()), spec.digest, 7, 8, unit, {"code": 1, "signal": None, "at": 2.0}, 99
    )


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    path = tmp_path / "state.json"
    path.write_text(state_file.render([record()], kernel.boot_id()))

    assert state_file.load(str(path)) == [record()]
    assert "hunter2" not in path.read_text()


def test_fields_of_another_version_do_not_cost_the_record(tmp_path) -> None:
    path = tmp_path / "state.json"
    document = json.loads(state_file.render([record()], kernel.boot_id()))
    document["units"][0].update(colour="blue")
    document["units"][0]["unit"].update(colour="blue")
    del document["units"][0]["pipe"]
    path.write_text(json.dumps(document))

    assert state_file.load(str(path)) == [record()._replace(pipe=None)]


def test_records_of_another_boot_are_nobodys(tmp_path) -> None:
    path = tmp_path / "state.json"
    path.write_text(state_file.render([record()], "another boot"))

    assert state_file.load(str(path)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot": 1, "units": [{}]}', "null", "7", '"x"'])
def test_a_state_file_that_makes_no_sense_is_as_none(tmp_path, text) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)

    assert state_file.load(str(path)) == []
    assert state_file.load(str(tmp_path / "absent")) == []


@pytest.mark.parametrize("unit", [{}, {"spec": 1}, {"unit": []}, {"unit": {"after": 1}}, 7])
def test_a_record_that_makes_no_sense_is_not_adopted(tmp_path, unit) -> None:
    path = tmp_path / "state.json"
    text = state_file.render([], kernel.boot_id()).replace("[]", f"[{unit}]".replace("'", '"'))
    path.write_text(text)

    assert state_file.load(str(path)) == []


def test_a_process_is_named_by_number_and_start() -> None:
    me = kernel.process(os.getpid())

    assert me is not None
    assert (me.parent, me.session) == (os.getppid(), os.getsid(0))
    assert kernel.alive(me.pid, me.start)
    assert not kernel.alive(me.pid, me.start + 1)
    assert me in [one._replace(state=me.state, used=me.used) for one in kernel.processes()]


def test_a_number_that_nobody_has_is_no_process() -> None:
    assert kernel.process(2**22 + 1) is None
    assert not kernel.alive(2**22 + 1, 0)
