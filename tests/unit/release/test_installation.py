"""Only a whole installation of the present lock counts as one."""

import pytest

from aerodrome import errors
from aerodrome.release import installation, locks
from aerodrome.release.interpreters import Interpreter

LOCK = locks.of("3.3.1")


@pytest.fixture
def filled(tmp_path):
    python = tmp_path / "python3.12"
    python.write_text("")
    binaries = installation.folder(LOCK, tmp_path) / "venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(python)
    return tmp_path, Interpreter(python, (3, 12, 1), shared=False)


def test_nothing_is_found_where_nothing_is(tmp_path):
    assert installation.find("3.3.1", tmp_path) is None


def test_a_folder_without_its_marker_is_no_installation(filled):
    versions, _ = filled
    assert installation.find("3.3.1", versions) is None


def test_a_finished_folder_is_found(filled):
    versions, python = filled
    made = installation.finish(LOCK, versions, python)
    assert installation.find("3.3.1", versions) == made
    assert made.python == versions / LOCK.identifier / "venv" / "bin" / "python"


def test_an_installation_whose_python_was_removed_is_none(filled):
    versions, python = filled
    installation.finish(LOCK, versions, python)
    python.path.unlink()
    assert installation.find("3.3.1", versions) is None


def test_files_become_readable_to_every_uid_and_programs_executable(filled):
    versions, python = filled
    venv = versions / LOCK.identifier / "venv"
    for name, mode in {"module.py": 0o600, "program": 0o700}.items():
        (venv / name).write_text("")
        (venv / name).chmod(mode)
    installation.finish(LOCK, versions, python)
    assert (venv / "module.py").stat().st_mode & 0o777 == 0o644
    assert (venv / "program").stat().st_mode & 0o777 == 0o755


def test_a_version_that_is_not_on_offer_is_the_callers_error(tmp_path):
    with pytest.raises(errors.CallerError):
        installation.find("1.10.9", tmp_path)
