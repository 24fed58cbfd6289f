"""AIRFLOW_HOME as programs find it: shown in MWAA's place, or a folder with links, and nobody bends what is mounted."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from aerodrome.release import airflow_home, sandbox
from aerodrome.release.airflow_home import AIRFLOW_HOME, Parts
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.unix_users import UnixUser

NOBODY = UnixUser(61234, 61234)
SOMEBODY = NOBODY if os.geteuid() == 0 else None
AS_ROOT = pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a mount namespace")
LOOK = """
import os, json
home = os.environ["AIRFLOW_HOME"]
found = {}
for folder, _, files in os.walk(home, followlinks=True):
    for name in files:
        path = os.path.join(folder, name)
        found[os.path.relpath(path, home)] = open(path).read()
print(json.dumps(found, sort_keys=True))
"""


@pytest.fixture
def place(short_folder):
    short_folder.chmod(0o755)
    place = Path(tempfile.mkdtemp(dir=short_folder))
    place.chmod(0o755)
    return place


@pytest.fixture
def parts(place):
    written = {
        "dags/x.json": "dag", "plugins/p.py": "plugin", "logs/l": "log", "home/venv/bin/dbt": "dbt",
        "home/note": "note", "requirements.txt": "cow", "startup.sh": "export A=1",
    }  # fmt: skip
    for name, text in written.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder, folders, files in os.walk(place):
        for name in folders:
            (Path(folder) / name).chmod(0o755)
        for name in files:
            (Path(folder) / name).chmod(0o600 if name in {"requirements.txt", "startup.sh"} else 0o644)
    return Parts(
        dags=place / "dags", plugins=place / "plugins", logs=place / "logs",
        home=place / "home", requirements=place / "requirements.txt", startup=place / "startup.sh",
    )  # fmt: skip


@pytest.fixture
def folder(place):
    return place / "1"


def run(seen, script, user=SOMEBODY):
    environ = {"PATH": os.defpath, "AIRFLOW_HOME": str(seen.path)}
    command = ["/bin/bash", "-c", script] if not script.startswith("\n") else [sys.executable, "-I", "-c", script]
    return sandbox.run(command, environ=environ, cwd=Path("/"), limits=SandboxLimits(20), user=user, views=seen.views)


FOUND = (
    '{"dags/x.json": "dag", "logs/l": "log", "note": "note", "plugins/p.py": "plugin", '
    '"requirements/requirements.txt": "cow", "startup/startup.sh": "export A=1", "venv/bin/dbt": "dbt"}'
)


@AS_ROOT
def test_as_root_everything_is_where_mwaa_has_it(parts, folder):
    seen = airflow_home.lay_out(folder, parts, NOBODY)
    assert seen.path == AIRFLOW_HOME
    assert run(seen, LOOK, NOBODY).tail[-1] == FOUND
    made = run(seen, "touch $AIRFLOW_HOME/own && rm $AIRFLOW_HOME/own && id -u && touch $AIRFLOW_HOME/dags/x", NOBODY)
    assert made.tail[0] == "61234"
    assert made.code != 0
    assert not (AIRFLOW_HOME / "note").exists()


def test_without_a_namespace_the_folder_itself_has_links(parts, folder, monkeypatch):
    monkeypatch.setattr(airflow_home, "can_be_shown", lambda: False)
    seen = airflow_home.lay_out(folder, parts, SOMEBODY)
    assert (seen.path, seen.views) == (folder, ())
    assert run(seen, LOOK).tail[-1] == FOUND
    other = folder.with_name("other")
    other.mkdir()
    again = airflow_home.lay_out(folder, replace(parts, plugins=other), SOMEBODY)
    assert (again.path / "plugins").resolve() == other.resolve()
    assert airflow_home.path_of("dags", parts.dags) == parts.dags


def test_what_is_missing_is_an_empty_folder(folder):
    seen = airflow_home.lay_out(folder, Parts(), SOMEBODY)
    assert run(seen, "ls $AIRFLOW_HOME; ls $AIRFLOW_HOME/*/").code == 0
    assert sorted(each.name for each in folder.iterdir()) == [
        "config",
        "dags",
        "logs",
        "plugins",
        "requirements",
        "startup",
    ]


@AS_ROOT
def test_a_hostile_program_bends_no_mount(parts, folder, place):
    """It may neither move nor replace what its successor's folders are mounted on."""
    victim = place / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    seen = airflow_home.lay_out(folder, parts, NOBODY)
    # At the folder itself, where nothing is mounted over its entries.
    attack = f"""
cd {folder}
for name in config dags plugins logs requirements startup venv note; do
  mv $name moved-$name; rm -rf $name; rmdir $name; ln -sfn {victim} $name
done
mv {folder} {folder}-moved
ls -A
"""
    run(replace(seen, views=()), attack, NOBODY)
    names = ["config", "dags", "logs", "note", "plugins", "requirements", "startup", "venv"]
    assert sorted(each.name for each in folder.iterdir() if not each.is_symlink()) == names
    again = airflow_home.lay_out(folder, parts, NOBODY)
    assert run(again, LOOK, NOBODY).tail[-1] == FOUND
    assert (victim / "file").read_text() == "untouched"


@AS_ROOT
def test_a_link_in_the_place_of_a_mount_point_is_not_followed(parts, folder, place):
    """Even if one came there all the same, after the folder was laid out."""
    victim = place / "victim"
    victim.mkdir()
    seen = airflow_home.lay_out(folder, parts, NOBODY)
    for name in ("plugins", "note"):
        entry = folder / name
        entry.rmdir() if entry.is_dir() else entry.unlink()
        entry.symlink_to(victim)
        ended = run(seen, f"ls {victim}", NOBODY)
        assert ended.code == 126
        assert f"{AIRFLOW_HOME}/{name}" in ended.tail[-1]
        airflow_home.lay_out(folder, parts, NOBODY)


def test_a_link_that_the_startup_script_left_leads_nowhere_that_its_user_may_not_go(parts, folder, place):
    """Mounted by us, it would show what lies in a folder that lets nobody in."""
    private = place / "private"
    (private / "open").mkdir(parents=True)
    (private / "open" / "file").write_text("secret")
    private.chmod(0o000 if SOMEBODY is None else 0o700)
    (place / "home" / "folder").symlink_to(private / "open")
    (place / "home" / "file").symlink_to(private / "open" / "file")
    (place / "home" / "dbt").symlink_to("venv/bin/dbt")
    for _ in range(2):
        seen = airflow_home.lay_out(folder, parts, SOMEBODY)
        ended = run(seen, "cd $AIRFLOW_HOME; cat folder/file file; cat dbt")
        assert "secret" not in "".join(ended.tail)
        assert ended.tail[-1] == "dbt"
    private.chmod(0o700)


@AS_ROOT
def test_what_somebody_else_made_gives_way(parts, folder, place):
    """A later release may bring a name that the environment's code has used before."""
    victim = place / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    seen = airflow_home.lay_out(folder, replace(parts, home=None), NOBODY)
    run(seen, f"mkdir $AIRFLOW_HOME/venv; ln -s {victim} $AIRFLOW_HOME/note; ls $AIRFLOW_HOME", NOBODY)
    again = airflow_home.lay_out(folder, parts, NOBODY)
    assert run(again, LOOK, NOBODY).tail[-1] == FOUND
    assert (victim / "file").read_text() == "untouched"


@AS_ROOT
def test_the_two_files_are_for_the_user_alone(parts, folder):
    seen = airflow_home.lay_out(folder, parts, NOBODY)
    ended = run(seen, "cat $AIRFLOW_HOME/startup/startup.sh", UnixUser(61235, 61235))
    assert ended.code != 0
    assert run(seen, "cat $AIRFLOW_HOME/startup/startup.sh", NOBODY).tail[-1] == "export A=1"
