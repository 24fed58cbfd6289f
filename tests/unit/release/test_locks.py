"""Every lock that is shipped keeps what the lessons of unpinned installs demand."""

import re
from datetime import date

import pytest

from aerodrome import errors
from aerodrome.release import compile as compiling
from aerodrome.release import locks

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
    assert list(locks.LOCKS) == ["3.3.1", "3.2.1", "3.0.6", "2.11.2", "2.10.5", "1.10.15"]


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
    assert lock.path.read_text().startswith(compiling.header(lock))
    assert str(lock.cutoff) in compiling.header(lock)


def test_a_cut_off_date_does_not_depend_on_the_time_zone():
    lock = locks.Lock(version="9", python="3.12", cutoff=date(2026, 8, 31), later=(("x", date(2026, 12, 31)),))
    assert "--exclude-newer=2026-09-01T00:00:00Z" in compiling.arguments(lock)
    assert "--exclude-newer-package=x=2027-01-01T00:00:00Z" in compiling.arguments(lock)


def test_the_folder_is_named_by_version_and_lock(lock):
    assert lock.identifier == f"{lock.version}-{lock.sha256[:8]}"
    assert re.fullmatch(r"[0-9a-f]{64}", lock.sha256)


def test_an_unknown_version_is_refused_with_the_choice():
    with pytest.raises(errors.CallerError, match=r"Airflow 2\.10\.3 is not on offer; choose one of: 3\.3\.1, 3\.2"):
        locks.of("2.10.3")
