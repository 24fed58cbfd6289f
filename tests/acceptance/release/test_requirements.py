"""requirements.txt on real Airflow versions: what installs, and the ten files that must not."""

import codecs
import os
import subprocess
from dataclasses import replace

import pytest

import lines
from aerodrome import errors
from aerodrome.release import building, built_releases, locks
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles

CONSTRAINTS = "https://raw.githubusercontent.com/apache/airflow/constraints-9.9.9/constraints-3.12.txt"

ALIKE = pytest.mark.parametrize("airflow", lines.ALIKE, indirect=True)


def run(built, airflow, code):
    environ = {"PYTHONPATH": str(built.site), "PATH": os.defpath}
    done = subprocess.run(
        [built.on(airflow).python, "-s", "-c", code], env=environ, capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def leftovers(context):
    return [path.name for path in context.releases.iterdir() if not path.name.endswith(".lock")]


def test_only_what_the_base_lacks_is_installed_compiled_and_shared(build, airflow, context):
    steps = []
    built = build("herd\nrequests\n# nothing else\n")
    assert dict(built.packages) == {"cow": "1.0", "herd": "1.0"}
    assert run(built, airflow, "import herd, cow, requests; print(cow.answer, requests.__file__)") == (
        f"42 {next(airflow.venv.glob('lib/python*/site-packages'))}/requests/__init__.py"
    )
    assert list(built.site.glob("__pycache__/cow.*.pyc"))
    again = building.build(
        UserFiles(requirements=b"herd\nrequests\n# nothing else\n"), replace(context, report=steps.append)
    )
    assert again == built
    assert [step.name for step in steps] == ["found"]


@ALIKE
def test_no_requirements_make_an_empty_overlay(build):
    assert build("\n# none\n").packages == ()
    assert build().packages == ()


@ALIKE
def test_a_package_from_source_is_built_as_nobody_and_belongs_to_us(build, airflow, context):
    built = build("homemade\n")
    expected = context.user.uid if context.user else os.geteuid()
    assert run(built, airflow, "import homemade; print(homemade.built_by)") == str(expected)
    assert {path.stat().st_uid for path in built.site.rglob("*")} == {os.geteuid()}
    assert not any(path.stat().st_mode & 0o022 for path in built.site.rglob("*"))


@ALIKE
def test_a_module_of_pythons_own_is_left_out(build, airflow):
    built = build("enum34\n")
    assert built.notes == ("the module enum is left out, because it is Python's own",)
    assert run(built, airflow, "import enum; print(enum.Enum.__name__)") == "Enum"


def test_a_provider_is_found_beside_those_of_the_base(build, airflow, place):
    built = build("apache-airflow-providers-moo\n")
    code = "import airflow.providers.moo as m, airflow.providers.celery; print(m.sound)"
    assert run(built, airflow, f"import os; os.environ['AIRFLOW_HOME'] = {str(place)!r}; {code}").endswith("moo")


@ALIKE
def test_wheels_among_the_plugins_install_without_an_index(build, links, place):
    folder = place / "plugins"
    folder.mkdir()
    (folder / "cow-1.0-py3-none-any.whl").write_bytes((links / "cow-1.0-py3-none-any.whl").read_bytes())
    text = "--find-links /usr/local/airflow/plugins\n--no-index\ncow\n"
    assert build(text, plugins=folder, environ={"UV_FIND_LINKS": ""}).packages == (("cow", "1.0"),)
    named = "/usr/local/airflow/plugins/cow-1.0-py3-none-any.whl\n"
    assert build(named, plugins=folder, environ={"UV_FIND_LINKS": ""}).packages == (("cow", "1.0"),)


def test_official_constraints_and_our_own_version_are_no_obstacle(build, airflow):
    url = f"https://raw.githubusercontent.com/apache/airflow/constraints-{airflow.version}/constraints-3.12.txt"
    built = build(f"-c {url}\napache-airflow=={airflow.version}\ncow==1.0\n")
    assert built.packages == (("cow", "1.0"),)


def test_airflows_constraints_hold_without_being_named_and_are_lifted_by_naming_others(build, airflow):
    theirs = locks.of(airflow.version).pins["asana"]
    assert build("asana\n").packages == (("asana", theirs),)
    lifted = build("--constraint /dev/null\nasana\n")
    assert lifted.packages == (("asana", "999.0"),)
    assert "constraints are named" in lifted.notes[0]
    assert not lifted.private


def test_a_package_that_airflow_came_with_is_replaced_in_an_environment_of_the_releases_own(build, airflow):
    built = build("-c /dev/null\npycurl==999.0\nherd\n")
    assert dict(built.packages) == {"cow": "1.0", "herd": "1.0", "pycurl": "999.0"}
    assert built.private
    assert any("replaces what Airflow comes with: pycurl 999.0 for " in note for note in built.notes)
    code = "import sys, pycurl, requests, airflow; print(pycurl.answer, sys.prefix, requests.__file__)"
    answer, prefix, requests = run(built, airflow, f"import os; os.environ['AIRFLOW_HOME'] = '/tmp'; {code}").split()[
        -3:
    ]
    assert (answer, prefix) == ("42", str(built.on(airflow).venv))
    assert requests.startswith(prefix)
    assert not list(built.on(airflow).venv.glob("lib/python*/site-packages/pycurl*"))
    program = built.on(airflow).venv / "bin" / "airflow"
    assert program.read_text().splitlines()[0].endswith(str(built.on(airflow).python))
    # The version itself is as it was.
    assert (airflow.venv / "bin" / "airflow").read_text().splitlines()[0].endswith(str(airflow.python))
    assert list(airflow.venv.glob("lib/python*/site-packages/pycurl*"))


@ALIKE
def test_an_index_that_the_startup_script_names_is_asked_and_its_credentials_are_shown_to_nobody(context, server):
    script = f"export PIP_INDEX_URL={server.replace('://', '://me:hunter2@')}/mine\n".encode()
    said = []
    with pytest.raises(ReleaseError, match=r"pigsty is known to the package index of PIP_INDEX_URL") as caught:
        building.build(UserFiles(requirements=b"pigsty\n", startup=script), replace(context, on_line=said.append))
    assert caught.value.code == "REQUIREMENTS_INSTALL_FAILED"
    assert "hunter2" not in "".join([str(caught.value), *caught.value.tail, *said])
    options = {"pip.token": "hunter2"}
    text = f"--extra-index-url {server.replace('://', '://me:${AIRFLOW__PIP__TOKEN}@')}/mine\npigsty\n".encode()
    with pytest.raises(ReleaseError, match="pigsty") as caught:
        building.build(UserFiles(requirements=text), replace(context, options=options, on_line=said.append))
    assert "hunter2" not in "".join([str(caught.value), *caught.value.tail, *said])


TEN = {
    "conflict": ("cow\noldfashioned\n", "REQUIREMENTS_CONFLICT", 2, "requests"),
    "unknown package": ("cow\nno-such-package\n", "REQUIREMENTS_INSTALL_FAILED", 2, "no-such-package"),
    "unbuildable": ("cow\nunbuildable\n", "REQUIREMENTS_INSTALL_FAILED", 2, "unbuildable"),
    "wrong Python": ("cow\nfuturistic\n", "REQUIREMENTS_INSTALL_FAILED", 2, ">=3.99"),
    "pins Airflow itself": ("cow\napache-airflow==2.0.2\n", "REQUIREMENTS_CONFLICT", 2, "2.0.2"),
    "bad encoding": (b"cow\n# caf\xe9\n", "REQUIREMENTS_INVALID", 2, "UTF-8"),
    "bad option": ("cow\n--global-option=x\n", "REQUIREMENTS_INVALID", 2, "--global-option"),
    "missing file": ("cow\n-r more.txt\n", "REQUIREMENTS_INVALID", 2, "more.txt"),
    "constraints of no version": (f"cow\n-c {CONSTRAINTS}\n", "REQUIREMENTS_INVALID", 2, "9.9.9"),
    "beyond Airflow's constraints": (
        "cow\nasana==999.0\n",
        "REQUIREMENTS_CONFLICT",
        2,
        "Airflow has in its constraints asana",
    ),
    "what Airflow lives on": ("-c /dev/null\ncelery==5.4.0\n", "REQUIREMENTS_CONFLICT", 2, "Airflow comes with celery"),
    "404 index": (
        "--index-url {server}/simple\npigsty\n",
        "REQUIREMENTS_INSTALL_FAILED",
        2,
        "requirements.txt, line 1",
    ),
}


@ALIKE
@pytest.mark.parametrize("name", TEN)
def test_a_broken_file_is_told_by_kind_line_and_name_and_leaves_nothing(context, server, name):
    text, code, line, word = TEN[name]
    data = text if isinstance(text, bytes) else text.replace("{server}", server).encode()
    with pytest.raises(ReleaseError) as caught:
        building.build(UserFiles(requirements=data), context)
    error = caught.value
    assert (error.code, error.file, error.line) == (code, "requirements.txt", line)
    assert word in str(error), str(error)
    assert leftovers(context) == []


@ALIKE
def test_two_lines_that_exclude_each_other_are_both_named(build):
    with pytest.raises(ReleaseError, match=r"line 1.*line 2") as caught:
        build("cow==1.0\ncow==2.0\n")
    assert caught.value.code == "REQUIREMENTS_CONFLICT"


@ALIKE
def test_a_package_that_hides_one_of_the_base_is_a_conflict(build):
    with pytest.raises(ReleaseError, match="shadowing brings requests") as caught:
        build("shadowing\n")
    assert (caught.value.code, caught.value.line) == ("REQUIREMENTS_CONFLICT", 1)


@ALIKE
def test_a_package_that_cannot_be_imported_is_found_out(build):
    with pytest.raises(ReleaseError, match="unimportable is installed and cannot be imported") as caught:
        build("cow\nunimportable\n")
    assert (caught.value.code, caught.value.line) == ("REQUIREMENTS_INSTALL_FAILED", 2)
    assert "no_such_library" in caught.value.tail[-1]


@ALIKE
def test_other_bytes_than_hashed_are_refused(build):
    with pytest.raises(ReleaseError) as caught:
        build(f"cow==1.0 --hash=sha256:{'0' * 64}\n")
    assert (caught.value.code, caught.value.package) == ("REQUIREMENTS_INSTALL_FAILED", "cow")


@ALIKE
def test_the_machines_index_out_of_reach_is_no_fault_of_the_user(build):
    with pytest.raises(errors.RetryError):
        build("cow\n", environ={"UV_FIND_LINKS": "", "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple"})


@ALIKE
def test_a_byte_order_mark_does_no_harm(context):
    for data in (codecs.BOM_UTF8 + b"cow\r\n", "\ufeffcow\r\n".encode("utf-16-le")):
        assert building.build(UserFiles(requirements=data), context).packages == (("cow", "1.0"),)


@ALIKE
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_told_and_leaves_nothing(context):
    context.releases.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", context.releases], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        plugins = context.releases.parent / "plugins"
        plugins.mkdir()
        (plugins / "big.py").write_text("x" * 100_000)
        with pytest.raises(ReleaseError, match="no space is left"):
            building.build(UserFiles(requirements=b"cow\n", plugins=plugins), context)
        assert leftovers(context) == []
    finally:
        subprocess.run(["/bin/umount", context.releases], check=True)


@ALIKE
def test_a_build_that_is_stopped_leaves_nothing(context):
    class StoppedError(Exception):
        pass

    def report(step):
        if step.name == "try":
            raise StoppedError

    with pytest.raises(StoppedError):
        building.build(UserFiles(requirements=b"cow\n"), replace(context, report=report))
    assert leftovers(context) == []


@ALIKE
def test_a_build_that_was_killed_is_made_anew(build):
    built = build("cow\n")
    (built.folder / built_releases.MANIFEST).unlink()
    (built.site / "rubbish.py").write_text("")
    assert build("cow\n") == built
    assert not (built.site / "rubbish.py").exists()


@ALIKE
def test_a_package_of_the_real_index_installs(build):
    real = {name: os.environ.get(name, "") for name in ("HTTPS_PROXY", "SSL_CERT_FILE")}
    try:
        built = build("cowsay==6.1\n", environ={"UV_DEFAULT_INDEX": "https://pypi.org/simple", **real})
    except errors.RetryError as error:
        pytest.skip(f"no package index can be reached: {error}")
    assert built.packages == (("cowsay", "6.1"),)
