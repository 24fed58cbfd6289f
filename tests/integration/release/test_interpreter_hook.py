"""The packages of a release reach the interpreter of the version, however it is started, and no other."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from aerodrome.release import interpreter_hook

LOOK = """
import json, os, sys
try:
    from cow import sound
except ImportError:
    sound = None
import json.decoder
import socket
def found(name):
    try:
        return socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0], socket.gethostbyname(name)
    except OSError:
        return None
print(json.dumps([sound, found("0123abcd.us-east-1.airflow.localhost"), found("env.127.0.0.1")]))
"""
HERE = '["moo", ["127.0.0.1", "127.0.0.1"], ["127.0.0.1", "127.0.0.1"]]'


LINES = ("3.7", "3.11", "3.12", "3.13")


@pytest.fixture(scope="module", params=LINES)
def venv(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("venv")
    found = sorted(Path.home().glob(f".pyenv/versions/{request.param}.*/bin/python"))
    python = str(found[-1]) if found else shutil.which(f"python{request.param}")
    if python is None:
        pytest.skip(f"no Python {request.param}: neither on PATH nor under ~/.pyenv/versions")
    made = [python, "-I", "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    interpreter_hook.add(folder)
    return folder


@pytest.fixture
def site(tmp_path):
    (tmp_path / "cow.py").write_text("sound = 'moo'\n")
    # With pip, and so on MWAA, Python's own module wins.
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("raise AssertionError\n")
    return tmp_path


def said(python, script=LOOK, *options, **environ):
    command = [str(python), *options, "-c", script]
    done = subprocess.run(command, env={"PATH": os.defpath, **environ}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("option", ["-s", "-E", "-I"])
def test_the_versions_interpreter_sees_the_release(venv, site, option):
    assert said(venv / "bin/python", LOOK, option, AERODROME_PATH=str(site)) == HERE


def test_a_process_that_it_executes_sees_it_too(venv, site):
    again = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {LOOK!r}])"
    assert said(venv / "bin/python", again, AERODROME_PATH=str(site)).startswith(HERE)


def test_another_virtual_environment_that_it_makes_sees_its_own_packages_alone(venv, site):
    with tempfile.TemporaryDirectory() as other:
        make = f"import venv; venv.create({other!r}, symlinks=True)"
        said(venv / "bin/python", make, AERODROME_PATH=str(site))
        assert said(Path(other, "bin/python"), LOOK, AERODROME_PATH=str(site)).startswith("[null, ")


def test_one_that_is_to_have_the_systems_packages_has_the_releases_behind_its_own(venv, site, tmp_path):
    other = tmp_path / "other"
    make = [str(venv / "bin/python"), "-m", "venv", "--without-pip", str(other), "--system-site-packages"]
    subprocess.run(make, check=True, env={"PATH": os.defpath, "AERODROME_PATH": str(site)})
    if not (venv / "lib/python3.7").exists():  # which does not tell a program its own command line
        assert said(other / "bin/python", LOOK).startswith('["moo", ')
        [own] = other.glob("lib/python3*/site-packages")
        (own / "cow.py").write_text("sound = 'quack'\n")
        assert said(other / "bin/python", LOOK, AERODROME_PATH=str(site)).startswith('["quack", ')


def test_without_the_variable_nothing_happens_and_nothing_is_loaded(venv):
    found = said(venv / "bin/python", "import sys; print('socket' in sys.modules, '_socket' in sys.modules, sys.path)")
    assert found.startswith("False False")
    assert said(venv / "bin/python").startswith("[null, ")


def test_what_is_forked_later_takes_it_on_too(venv, site):
    late = "import os, socket, aerodrome_path\nos.environ['AERODROME_PATH'] = os.environ['LATER']\n"
    apply = "aerodrome_path.apply()\n"
    once = said(venv / "bin/python", late + apply + LOOK, LATER=str(site))
    twice = said(venv / "bin/python", late + 2 * apply + LOOK, LATER=str(site))
    assert once.startswith(HERE)
    assert once == twice


def test_names_that_are_not_of_this_machine_are_left_alone(venv, site):
    names = "(None, '', 'localhost', b'x.LocalHost.', 'x.y', '10.127.0.0.1.z')"
    script = f"import aerodrome_path as a; print([a._address(x) for x in {names}])"
    expected = "[None, '', 'localhost', '127.0.0.1', 'x.y', '10.127.0.0.1.z']"
    assert said(venv / "bin/python", script, AERODROME_PATH=str(site)) == expected


def test_it_is_added_once_and_mended_when_it_is_another(venv):
    [module] = venv.glob("lib/python3*/site-packages/aerodrome_path.py")
    before = module.stat().st_mtime_ns
    interpreter_hook.add(venv)
    assert module.stat().st_mtime_ns == before
    assert list(module.parent.glob("__pycache__/aerodrome_path.*.pyc"))
    text = module.read_text()
    module.write_text("an earlier one")
    interpreter_hook.add(venv)
    assert module.read_text() == text
    assert sorted(module.parent.glob(".aerodrome*")) == []
