"""Each lock, installed and tried for real: every role, a migration, the web apps, one task."""

import os

import pytest

import lines
from aerodrome import errors
from aerodrome.release import install, interpreters, locks, smoke
from aerodrome.release.installation import Installation


@pytest.mark.skipif(not lines.ALL, reason="make lines runs it; make test runs whole environments of the main lines")
@pytest.mark.parametrize("version", [*lines.FIRST, *lines.ONE])
def test_a_lock_works(version, versions):
    places = interpreters.InterpreterFolders(downloads=versions / "python", environ=os.environ)
    try:
        interpreters.find(locks.of(version).python, places)
    except errors.BrokenError as error:
        pytest.skip(str(error))
    done = []
    installation = install.install(version, versions, environ=os.environ)
    smoke.run(installation, lambda sentence, _: done.append(sentence))
    assert done == [step.sentence for step in smoke.steps(installation)]


def test_a_version_that_does_not_work_is_found_out(tmp_path):
    program = tmp_path / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho no role here\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(errors.BrokenError, match="Airflow 0 could not import every role") as caught:
        smoke.run(Installation("0", tmp_path, "0" * 64))
    assert caught.value.code == "VERSION_SMOKE_FAILED"
    assert caught.value.tail == ("no role here",)
