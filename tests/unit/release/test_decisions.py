"""The small decisions of building and verifying: variables, comparison, collection, identity, modules, findings."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import bounded_json
from aerodrome.airflow import startup_variables
from aerodrome.release import (
    building,
    built_releases,
    collect,
    comparison,
    confined_requirements,
    import_names,
    locks,
    probe_reports,
    user_files,
)
from aerodrome.release.build_inputs import BuildInputs
from aerodrome.release.collect import Present
from aerodrome.release.comparison import ImportFailure
from aerodrome.release.failures import ReleaseError
from aerodrome.release.startup import Startup
from aerodrome.release.user_files import UserFiles

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_exported_variables_are_those_that_changed_and_may():
    before = {"PATH": "/bin", "HOME": "/h", "A": "1"}
    after = {
        **before,
        "PATH": "/bin:/x",
        "A": "1",
        "B": "2",
        "AIRFLOW_HOME": "/x",
        "AIRFLOW__CORE__FERNET_KEY_CMD": "x",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "3",
        "_": "/x",
        "SHLVL": "2",
        "BASH_FUNC_f%%": "() { :; }",
        "LONG": "x" * 200_000,
    }
    kept, refused = startup_variables.exported(before, after)
    assert kept == {"PATH": "/bin:/x", "B": "2", "AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "3"}
    assert refused == ("AIRFLOW_HOME", "AIRFLOW__CORE__FERNET_KEY_CMD", "LONG")


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__EXECUTOR",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET",
        "AIRFLOW__CELERY__BROKER_URL",
        "PYTHONPATH",
        "MWAA__X",
        "MWAA_AIRFLOW_COMPONENT",
        "AWS_REGION",
        "AERODROME_X",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__REGION",
        "AIRFLOW__CORE__PLUGINS_FOLDER",
        "ECS_CONTAINER_METADATA_URI",
    ],
)
def test_reserved_variables_are_protected(name):
    assert startup_variables.is_protected(name)


@pytest.mark.parametrize(
    "name", ["MY_TOKEN", "AIRFLOW_VAR_X", "AIRFLOW__SMTP__SMTP_HOST", "HTTPS_PROXY", "LD_LIBRARY_PATH"]
)
def test_ordinary_variables_are_not(name):
    assert not startup_variables.is_protected(name)


def test_an_option_wins_over_a_variable():
    variables = {"AIRFLOW__CORE__DEFAULT_TASK_RETRIES": "3", "B": "1"}
    assert startup_variables.under_options(variables, {"core.default_task_retries": "5"}) == {"B": "1"}


failures = st.lists(
    st.builds(
        ImportFailure, file=st.sampled_from("abc"), line=st.none(), kind=st.sampled_from("KL"), message=st.just("")
    )
)


@given(failures, failures)
def test_a_file_that_failed_before_is_no_news(found, before):
    news = comparison.news(found, before)
    assert {failure.file for failure in news} == {f.file for f in found} - {f.file for f in before}


@given(failures, failures, st.sets(st.sampled_from("abc")))
def test_where_the_truth_is_known_only_the_same_failure_is_no_news(found, before, broken):
    same = {(failure.file, failure.kind) for failure in before}
    news = comparison.news(found, before, broken)
    assert all(failure.file not in broken and (failure.file, failure.kind) not in same for failure in news)
    assert all(failure in news or failure.file in broken or (failure.file, failure.kind) in same for failure in found)


def test_the_refusal_names_the_first_file_and_counts_the_others():
    found = [
        ImportFailure("a.py", 3, "ModuleNotFoundError", "No module named 'x'", ("t",)),
        ImportFailure("b.py", None, "K", ""),
    ]
    error = comparison.refusal(found)
    assert error is not None
    assert str(error) == "a.py, line 3: ModuleNotFoundError: No module named 'x' (and 1 more)"
    assert (error.code, error.file, error.line, error.tail) == ("DAG_IMPORT_FAILED", "a.py", 3, ("b.py: K", "t"))
    assert comparison.refusal([]) is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 20))), st.sets(st.sampled_from("abcdef")))
def test_only_what_nobody_uses_and_is_old_may_go(found, used):
    present = [Present(name, NOW - timedelta(days=days)) for name, days in found]
    gone = collect.removable(present, used, now=NOW, keep=timedelta(days=7))
    assert not set(gone) & used
    assert sorted(gone) == sorted(name for name, days in found if name not in used and days > 7)


def built(releases, identifier, age):
    top = built_releases.begin(identifier, releases)
    for name in ("site", "plugins"):
        (top / name).mkdir()
    told = {"version": "3.3.1", "packages": [("cowsay", "6.1")], "plugin_names": [], "notes": ["n"]}
    made = built_releases.finish(identifier, releases, told=told, startup=Startup({"scheduler": {"A": "s\udcff"}}))
    old = (NOW - age).timestamp()
    for path in (top / built_releases.MANIFEST, top):
        built_releases.os.utime(path, (old, old))
    return made


def test_a_collection_spares_what_is_used_young_or_being_built(tmp_path):
    for name, days in (("used", 30), ("young", 1), ("building", 30), ("old", 30)):
        built(tmp_path, name, timedelta(days=days))
    (tmp_path / "broken").mkdir()
    built_releases.os.utime(tmp_path / "broken", (0, 0))
    with built_releases.held("building", tmp_path, lambda: None):
        gone = collect.collect(tmp_path, {"used"}, now=NOW)
    assert sorted(gone) == ["broken", "old"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["building", "used", "young"]
    assert collect.collect(tmp_path / "nowhere", set(), now=NOW) == []


def test_what_a_killed_build_left_is_removed_at_once(tmp_path):
    """Its scratch may hold a copy of the token of the role's credentials; one that is in use is built again."""
    killed, lost, running = (built_releases.begin(name, tmp_path) for name in ("killed", "lost", "running"))
    scratches = [building._scratch(top) for top in (killed, running)]
    try:
        with built_releases.held("running", tmp_path, lambda: None):
            assert collect.collect(tmp_path, {"lost"}, now=NOW) == ["killed"]
        assert [each.exists() for each in (killed, lost, running, *scratches)] == [False, True, True, False, True]
    finally:
        building.remove_scratch(running)
    assert not scratches[1].exists()


def test_a_release_is_found_as_it_was_finished_and_counts_as_used(tmp_path):
    made = built(tmp_path, "x", timedelta(days=30))
    assert built_releases.find("x", tmp_path) == made
    assert made.startup().of("worker") == {"A": "s\udcff"}
    assert (made.folder / built_releases.STARTUP).stat().st_mode & 0o777 == 0o600
    assert collect.collect(tmp_path, set(), now=datetime.now(UTC)) == []
    assert built_releases.find("y", tmp_path) is None


def test_a_folder_without_its_manifest_is_no_release(tmp_path):
    made = built(tmp_path, "x", timedelta())
    (made.folder / built_releases.MANIFEST).unlink()
    assert built_releases.find("x", tmp_path) is None
    assert list(built_releases.begin("x", tmp_path).iterdir()) == []


CONTENT = BuildInputs(version="3.3.1", lock="l", requirements="r", plugins="p", startup="s", variables=(("a", "1"),))


@pytest.mark.parametrize("name", ["version", "lock", "requirements", "plugins", "startup"])
def test_other_content_has_another_name(name):
    assert replace(CONTENT, **{name: "other"}).identifier != CONTENT.identifier


def test_variables_count_only_where_a_script_could_see_them():
    assert replace(CONTENT, variables=()).identifier != CONTENT.identifier
    without = replace(CONTENT, startup=None)
    assert replace(without, variables=()).identifier == without.identifier


def test_what_a_script_read_with_one_role_is_not_another_one_s():
    assert replace(CONTENT, reader="other").identifier != CONTENT.identifier
    without = replace(CONTENT, startup=None)
    assert replace(without, reader="other").identifier == without.identifier


def test_the_content_of_sources_is_their_bytes_with_all_that_they_include(tmp_path):
    lock = locks.of("3.3.1")
    (tmp_path / "a.txt").write_text("-r b.txt\n-i https://${AIRFLOW__PIP__TOKEN}@x.test/simple")
    (tmp_path / "b.txt").write_text("cowsay")
    wanted = UserFiles(requirements=b"-r /usr/local/airflow/dags/a.txt", dags=user_files.among(tmp_path))

    def of(sources, options=MappingProxyType({})):
        return user_files.inputs_of(sources, lock, options, lambda files, _: confined_requirements.included_by(files))

    first = of(wanted)
    assert of(wanted) == first
    assert of(wanted, {"pip.token": "a"}) != first
    assert of(wanted, {"pip.token": "b"}) != of(wanted, {"pip.token": "a"})
    assert of(wanted, {"pip.other": "a"}) == first
    (tmp_path / "b.txt").write_text("humanize")
    assert of(wanted).identifier != first.identifier
    assert of(UserFiles(requirements=b"")) != of(UserFiles())


def test_a_plugin_that_becomes_a_program_makes_another_release(tmp_path):
    lock = locks.of("3.3.1")
    (tmp_path / "tool.sh").write_text("echo")
    before = user_files.inputs_of(UserFiles(plugins=tmp_path), lock).identifier
    (tmp_path / "tool.sh").chmod(0o755)
    assert user_files.inputs_of(UserFiles(plugins=tmp_path), lock).identifier != before


def test_only_files_in_the_given_folders_are_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret")
    wanted = UserFiles(plugins=tmp_path / "in", dags=user_files.among(tmp_path / "in"))
    for folder in ("/usr/local/airflow/plugins/", "/usr/local/airflow/dags/"):
        assert user_files.file(wanted, f"{folder}a.txt") == b"a"
        for name in ("link.txt", "../secret", "gone.txt"):
            assert user_files.file(wanted, f"{folder}{name}") is None
    assert user_files.file(wanted, str(tmp_path / "secret")) is None
    assert user_files.file(wanted, "a.txt") is None  # requirements.txt lies alone, in S3


def test_modules_are_the_highest_packages_and_single_files():
    files = [
        "cow/__init__.py",
        "cow/horn.py",
        "single.py",
        "fast.cpython-312-x86_64-linux-gnu.so",
        "_private.py",
        "tests/__init__.py",
        "airflow/providers/moo/__init__.py",
        "airflow/providers/moo/hooks.py",
        "cow-1.0.dist-info/METADATA",
        "../bin/cow",
    ]
    assert import_names.modules(files) == ["airflow.providers.moo", "cow", "fast", "single"]


def test_a_finding_keeps_its_shape_and_nothing_else():
    line = json.dumps(
        {
            "event": "dags",
            "file": "a.py",
            "dags": ["d", 3],
            "secret": 1,
            "errors": [{"kind": "K", "message": 5, "places": [["a", 1], ["b", "c"], 3], "trace": ["x", None]}, "no"],
        }
    ).encode()
    found = probe_reports.read(line)
    assert found is not None
    assert found["dags"] == ["d", ""]
    assert found["errors"][0] == {
        "kind": "K",
        "message": "",
        "package": "",
        "module": "",
        "subject": "",
        "survived": False,
        "places": [["a", 1]],
        "trace": ["x", ""],
    }
    assert "secret" not in found


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_finding_breaks_the_reading(value):
    for document in (value, {"event": "dags", "errors": value}, {"event": "x", "errors": [value]}):
        found = probe_reports.read(json.dumps(document).encode())
        assert found is None or isinstance(found["errors"], list)


def test_findings_are_cut_out_of_the_stream_and_bounded(monkeypatch):
    seen = []
    gathered = probe_reports.Gathered(seen.append)
    gathered.take(b'{"event": "a"}\n{"ev')
    gathered.take(b'ent": "b"}\nrubbish\n')
    assert [finding["event"] for finding in seen] == ["a", "b"]
    monkeypatch.setattr(probe_reports, "LARGEST", 10)
    bounded = probe_reports.Gathered(seen.append)
    bounded.take(b'{"event": "c"}\n')
    assert len(seen) == 2


def test_a_finding_that_is_long_or_has_very_many_values_is_none(monkeypatch):
    many = b'{"event": "a", "count": [%s0]}' % (b"[]," * bounded_json.MOST_VALUES)
    assert probe_reports.read(many) is None
    seen = []
    monkeypatch.setattr(probe_reports, "LONGEST", 20)
    gathered = probe_reports.Gathered(seen.append)
    for _ in range(100):
        gathered.take(b'"' * 10)
        assert len(gathered._rest) <= 21
    gathered.take(b'\n{"event": "far too long"}\n{"event": "b"}\n')
    assert [finding["event"] for finding in seen] == ["b"]


def test_an_error_keeps_where_it_is():
    hidden = ReleaseError("https://me:sesame@mine.test", code="X", tail=("https://sesame@mine.test/x",))
    assert (str(hidden), hidden.tail) == ("https://***@mine.test", ("https://***@mine.test/x",))
    error = ReleaseError("m", code="X", file="a", line=2, package="p", tail=("t",))
    assert (error.code, error.file, error.line, error.package, error.tail) == ("X", "a", 2, "p", ("t",))
    assert Path(error.file or "").name == "a"
