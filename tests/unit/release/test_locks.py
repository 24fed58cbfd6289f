"""Every lock that is shipped keeps what the lessons of unpinned installs demand."""

import os
import re
from datetime import date
from pathlib import Path

import pytest
from packaging.markers import Marker

from aerodrome import errors
from aerodrome.release import compile as compiling
from aerodrome.release import locks

LISTS = Path(
    os.environ.get("AERODROME_TEST_CONSTRAINTS") or Path(__file__).parents[4] / "shared" / "data" / "constraints"
)
"""Airflow's own constraints, where they are at hand: `make lock CONSTRAINTS=` takes the same folder."""

PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^ ;\\]+)(.*)$", re.MULTILINE)


@pytest.fixture(params=locks.LOCKS.values(), ids=lambda lock: lock.version)
def lock(request):
    return request.param


@pytest.fixture
def pins(lock):
    return {name: version for name, version, _ in PINNED.findall(lock.path.read_text())}


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def test_the_newest_line_comes_first():
    assert list(locks.LOCKS) == ["3.3.1", "3.2.1", "3.0.6", "2.11.2", "2.10.3", "1.10.15"]


def test_a_lock_pins_its_own_airflow(lock, pins):
    assert pins["apache-airflow"] == lock.version


def test_celery_stays_below_the_release_that_breaks_its_provider(pins):
    assert numbers(pins["celery"]) < (5, 7)


def test_the_celery_provider_lets_named_workers_run_their_tasks(pins):
    if "apache-airflow-providers-celery" not in pins:
        pytest.skip("Airflow 1.10 brings its own")
    is_without_the_check = numbers(pins["apache-airflow-providers-celery"]) <= (3, 12, 2)
    assert is_without_the_check or numbers(pins["apache-airflow-providers-celery"]) >= (3, 20)


def test_every_pin_carries_a_hash(lock):
    for pin in re.split(r"\n(?=[a-z0-9])", lock.path.read_text())[1:]:
        assert "--hash=sha256:" in pin, pin


def test_no_index_and_no_machine_is_named(lock):
    text = lock.path.read_text()
    assert "://" not in text
    assert not re.search(r"^--|\s/", text, re.MULTILINE)


def test_the_header_is_what_the_lock_is_compiled_with(lock):
    assert lock.path.read_text().startswith(compiling.header(lock, compiling.arguments(lock)))
    assert str(lock.cutoff) in compiling.header(lock, [])


def test_a_cut_off_date_does_not_depend_on_the_time_zone():
    lock = locks.Lock(version="9", python="3.12", cutoff=date(2026, 8, 31), later=(("x", date(2026, 12, 31)),))
    for arguments in (compiling.arguments(lock), compiling.whole_arguments(lock)):
        assert "--exclude-newer=2026-09-01T00:00:00Z" in arguments
        assert "--exclude-newer-package=x=2027-01-01T00:00:00Z" in arguments


@pytest.mark.parametrize("lock", [lock for lock in locks.LOCKS.values() if lock.whole], ids=lambda lock: lock.version)
class TestTheWhole:
    """What every requirements.txt is held to."""

    def test_what_is_installed_is_in_it(self, lock):
        whole = locks.pinned(lock.whole.read_text())
        for name, version, rest in PINNED.findall(lock.path.read_text()):
            marker = rest.partition(";")[2].rstrip(" \\")
            here = {"python_full_version": f"{lock.python}.1", "python_version": lock.python}
            linux = {
                "sys_platform": "linux",
                "platform_system": "Linux",
                "platform_machine": "x86_64",
                "os_name": "posix",
            }
            if not marker or Marker(marker).evaluate({**here, **linux, "implementation_name": "cpython"}):
                assert whole[name] == version, name

    def test_it_holds_the_official_providers_and_what_they_need(self, lock):
        whole = locks.pinned(lock.whole.read_text())
        assert {f"apache-airflow-providers-{name}" for name in ("snowflake", "google", "slack", "databricks")} <= set(
            whole
        )
        assert {"pandas", "snowflake-connector-python", "slack-sdk"} <= set(whole)
        assert "pip" not in whole

    def test_it_names_no_index_and_no_machine_and_how_it_was_made(self, lock):
        text = lock.whole.read_text()
        assert "://" not in text
        assert not re.search(r"^--|\s/", text, re.MULTILINE)
        assert text.startswith(compiling.header(lock, compiling.whole_arguments(lock)))

    def test_it_is_airflows_own_list_but_where_it_says_so(self, lock):
        file = LISTS / f"airflow-{lock.version}.txt"
        if not file.exists():
            pytest.skip(f"there is no {file}; name a folder of Airflow's constraints in AERODROME_TEST_CONSTRAINTS")
        theirs = locks.pinned(file.read_text())
        for text in (lock.path.read_text(), lock.whole.read_text()):
            ours = locks.pinned(text)
            differ = {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}
            assert differ <= set(lock.departs)
        assert set(theirs) - set(ours) <= set(lock.departs)


def test_where_a_lock_departs_the_documentation_says_so():
    told = (Path(__file__).parents[3] / "docs" / "versions.md").read_text()
    for lock in locks.LOCKS.values():
        assert all(package in told for package in lock.departs), lock.version


def test_airflows_list_comes_from_a_folder_or_from_airflow(tmp_path):
    lock = locks.Lock(
        version="9.9.9", python="3.12", cutoff=date(2026, 8, 31), departs={"other-thing": "because it is at fault"}
    )
    text = "# a comment\nSome_Thing==1.0\nother.thing==2.0 ; python_version > '3'\n"
    asked = []

    def fetch(url):
        asked.append(url)
        return text

    official = compiling.listed(lock, None, fetch=fetch)
    assert official == {"some-thing": "1.0", "other-thing": "2.0"}
    assert asked[0].endswith("/constraints-9.9.9/constraints-3.12.txt")
    (tmp_path / "airflow-9.9.9.txt").write_text(text)
    assert compiling.listed(lock, tmp_path, fetch=fetch) == official
    assert len(asked) == 1
    assert compiling.held(official, lock) == {"some-thing": "1.0"}
    with pytest.raises(errors.CallerError, match=r"airflow-9\.9\.9\.txt cannot be read"):
        compiling.listed(lock, tmp_path / "none", fetch=fetch)


def test_a_lock_of_a_version_without_airflows_list_is_made_without():
    lock = locks.LOCKS["1.10.15"]
    assert lock.whole is None
    assert not any("--constraints" in each for each in compiling.arguments(lock))
    assert lock.constraints == (lock.path,)


def test_the_folder_is_named_by_version_and_lock(lock):
    assert lock.identifier == f"{lock.version}-{lock.sha256[:8]}"
    assert re.fullmatch(r"[0-9a-f]{64}", lock.sha256)


def test_an_unknown_version_is_refused_with_the_choice():
    with pytest.raises(errors.CallerError, match=r"Airflow 2\.10\.5 is not on offer; choose one of: 3\.3\.1, 3\.2"):
        locks.of("2.10.5")
