from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import config, specs


def raw(**fields: Any) -> dict[str, Any]:
    whole = {
        "name": "redis",
        "how": "exec",
        "argv": ["redis-server"],
        "env": {"SECRET": "hunter2"},
        "cwd": "/",
        "log": "/l",
    }
    return {**whole, **fields}


def test_what_is_left_out_has_a_default() -> None:
    spec = specs.parse(raw())

    assert (spec.umask, spec.uid, spec.gid, spec.ready, spec.after) == (0o077, None, None, "started", ())
    assert (spec.stop_signal, spec.grace) == ("SIGTERM", 30.0)


def test_units_without_a_port_or_a_companion_are_the_same_to_a_cell_that_knew_of_none() -> None:
    spec = specs.parse(raw(ready="notify"))
    later = ("after", "stop", "listen", "saved_uid", "companion", "limits", "visible")
    shape = {key: value for key, value in spec.document().items() if key not in later}
    assert spec.digest == hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()
    assert specs.parse(raw(ready="notify", listen=8000)).digest != spec.digest
    assert specs.parse(raw(ready="notify", companion=raw())).digest != spec.digest
    assert specs.parse(raw(ready="notify", limits={"memory": 2**30})).digest == spec.digest


def test_a_specification_survives_the_way_to_its_process() -> None:
    beside = raw(uid=9, gid=8, env={"A": "b"})
    spec = specs.parse(
        raw(
            uid=7, gid=8, saved_uid=9, stop={"signal": "SIGINT", "grace": 5}, ready="notify", listen=6, companion=beside
        )
    )

    assert specs.parse(json.loads(json.dumps(spec.document()))) == spec


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": "../x"}, "unit name must match"),
        ({"name": None}, "unit name must match"),
        ({"how": "spawn"}, "unit redis: how must be fork or exec"),
        ({"argv": []}, "argv must be a list of strings, not empty"),
        ({"argv": ["a\0b"]}, "argv must be"),
        ({"env": {"A": 1}}, "env must be an object of strings"),
        ({"env": {"A=B": "x"}}, "env must be"),
        ({"env": {"A": "x\0"}}, "env must be"),
        ({"cwd": "relative"}, "cwd must be an absolute path"),
        ({"log": ""}, "log must be an absolute path"),
        ({"umask": 512}, "umask must be an integer from 0 to 511"),
        ({"umask": True}, "umask must be"),
        ({"uid": 7}, "gid must be a group id, given whenever uid is"),
        ({"uid": -1, "gid": 1}, "uid must be"),
        ({"ready": "connect:10.0.0.1:80"}, "ready must be"),
        ({"ready": "connect:127.0.0.1:0"}, "ready must be"),
        ({"ready": "connect:127.0.0.1:70000"}, "ready must be"),
        ({"listen": 0}, "listen must be a TCP port or null"),
        ({"listen": 70000}, "listen must be"),
        ({"listen": "80"}, "listen must be"),
        ({"listen": 8080}, "listen needs a unit that is ready by notify"),
        ({"after": "redis"}, "after must be a list of unit names"),
        ({"stop": {"signal": "SIGNOPE"}}, "stop: signal must be the name of a signal"),
        ({"stop": {"grace": -1}}, "stop: grace must be seconds"),
        ({"stop": {"grace": float("nan")}}, "stop: grace must be seconds"),
        ({"stop": []}, None),
        ({"stop": [1]}, "stop must be an object"),
    ],
)
def test_a_fault_names_its_field(fields: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        specs.parse(raw(**fields))
        return
    with pytest.raises(specs.RefusedError, match=sentence):
        specs.parse(raw(**fields))


def test_unknown_fields_are_ignored() -> None:
    assert specs.parse(raw(colour="blue")) == specs.parse(raw())


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ({}, "units must be a list"),
        ([7], "a unit specification must be an object"),
        ([raw(), raw()], "the name must be given once only"),
        ([raw(after=["ghost"])], "after names ghost, which is not among the units"),
        ([raw(after=["redis"])], "in a circle: redis"),
        ([raw(name="a", after=["b"]), raw(name="b", after=["a"]), raw()], "in a circle: a, b"),
    ],
)
def test_units_must_fit_together(units: Any, sentence: str) -> None:
    with pytest.raises(specs.RefusedError, match=sentence):
        specs.parse_units(units)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*raw(), "stop", "uid"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*raw(), "stop", "uid", "gid", "after", "ready", "umask"]), ANY_JSON))
def test_any_json_is_parsed_or_refused(fields: dict[str, Any]) -> None:
    try:
        specs.parse_units([raw(**fields)])
    except specs.RefusedError as error:
        assert "hunter2" not in str(error)  # noqa: PT017 - either outcome is right; only the text is judged


def test_stop_and_order_change_without_a_new_process() -> None:
    one, other = specs.parse(raw()), specs.parse(raw(stop={"grace": 1}, after=["x"]))

    assert one.digest == other.digest
    assert one.digest != specs.parse(raw(env={})).digest


def test_what_is_public_holds_no_environment_and_no_arguments() -> None:
    spec = specs.parse(raw(argv=["redis-server", "--requirepass", "hunter2"]))

    assert "hunter2" not in json.dumps(spec.public())
    assert "hunter2" not in repr(spec)
    assert specs.parse(spec.public()).name == "redis"


def written(tmp_path, **fields: Any) -> str:
    path = tmp_path / "cell.json"
    path.touch(mode=0o600)
    paths = {key: f"/r/{key}" for key in config.PATHS}
    path.write_text(json.dumps({"environment": "e", "units": [raw()], **paths, **fields}))
    return str(path)


def test_a_configuration_is_written_as_it_was_read(tmp_path) -> None:
    one = config.read(written(tmp_path))
    config.write(one)

    assert config.read(one.path) == one
    assert (tmp_path / "cell.json").stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["cell.json"]


def test_a_configuration_that_others_may_read_is_refused(tmp_path) -> None:
    path = written(tmp_path)
    (tmp_path / "cell.json").chmod(0o640)

    with pytest.raises(specs.RefusedError, match="must belong to this user with mode 0600"):
        config.read(path)


@pytest.mark.parametrize(
    ("fields", "sentence"), [({"socket": 1}, "socket must be an absolute path"), ({"units": 1}, "units")]
)
def test_a_faulty_configuration_is_refused(tmp_path, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(specs.RefusedError, match=sentence):
        config.read(written(tmp_path, **fields))


def test_an_absent_or_broken_configuration_is_refused(tmp_path) -> None:
    with pytest.raises(specs.RefusedError, match="cannot read"):
        config.read(str(tmp_path / "absent"))
    broken = tmp_path / "broken"
    broken.write_text("{")
    with pytest.raises(specs.RefusedError, match="cannot read"):
        config.read(str(broken))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = written(tmp_path)
    before = (tmp_path / "cell.json").read_text()

    with pytest.raises(UnicodeEncodeError):
        config.write_atomically(path, "\ud800", durable=True)

    assert (tmp_path / "cell.json").read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["cell.json"]
