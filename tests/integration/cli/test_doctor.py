"""What `aerodrome doctor` reads of the machine, against real sockets."""

from __future__ import annotations

import socket

import pytest

from aerodrome.cli import doctor
from aerodrome.release import interpreters
from aerodrome.settings import Settings

CHOSEN_BY_THE_SYSTEM = Settings(port=0, aws_port=0, gateway_public="127.0.0.1:0", gateway_private="127.0.0.1:0")


@pytest.mark.parametrize("field", ["port", "aws_port", "gateway_public", "gateway_private"])
def test_every_port_that_another_program_holds_is_told_with_its_variable(field):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        value = f"127.0.0.1:{port}" if field.startswith("gateway") else port
        settings = CHOSEN_BY_THE_SYSTEM.model_copy(update={field: value})
        assert doctor.busy(settings) == {f"AERODROME_{field.upper()}": port}
    assert doctor.busy(settings) == {}


def test_a_python_that_an_installation_downloaded_is_found(tmp_path, monkeypatch):
    settings = CHOSEN_BY_THE_SYSTEM.model_copy(update={"data": tmp_path})
    for name in ("PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found(settings, "Python 3.7").level is doctor.Level.WARN

    # Where the installation has uv put it.
    program = interpreters.places(settings.paths.versions, {}).downloads / "cpython" / "bin" / "python3.7"
    program.parent.mkdir(parents=True)
    program.write_text(f"""#!/bin/sh\necho '[[3,7,16],"final","cpython","{program}",[]]'\n""")
    program.chmod(0o755)
    assert found(settings, "Python 3.7").level is doctor.Level.OK
    assert found(settings, "Python 3.7").found == f"{program} (for Airflow 1.10.15, 1.10.12)"


def found(settings, subject):
    [each] = [each for each in doctor.judge(doctor.gather(settings, running=False)) if each.subject == subject]
    return each


def test_the_port_of_an_emulator_that_is_not_ours_may_be_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        change = {"aws_port": other.getsockname()[1], "aws_endpoint_url": "aws"}
        assert doctor.busy(CHOSEN_BY_THE_SYSTEM.model_copy(update=change)) == {}
