"""A requirements.txt that attacks whoever reads it: that is a user who can do nothing else."""

import json
import os

import pytest

from aerodrome.errors import RetryError
from aerodrome.release import confined, confined_requirements, locks, requirements, requirements_text, user_files
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles
from aerodrome.unix_users import UnixUser

BUILDER = UnixUser(61321, 61321) if os.geteuid() == 0 else None
DAGS = "/usr/local/airflow/dags"


def read(data, files=None, **variables):
    known = files or {}
    return confined_requirements.read(
        data, version="3.3.1", python="3.12", files=known.get, variables=variables, user=BUILDER
    )


@pytest.fixture
def refusing(monkeypatch):
    """The control plane, which breaks if it reads a line of it itself."""

    def fail(*_, **__):
        raise AssertionError("the control plane reads users' requirements")

    for module, name in ((requirements, "read"), (requirements_text, "lines"), (requirements_text, "raw")):
        monkeypatch.setattr(module, name, fail)


@pytest.mark.skipif(BUILDER is None, reason="only root may become somebody else")
def test_it_is_read_by_somebody_without_rights():
    with pytest.raises(OSError, match=r"Read-only|denied"):
        confined.call(os.mkdir, "/usr/local/airflow-x", user=BUILDER, limits=confined_requirements._LIMITS)


@pytest.mark.usefixtures("refusing")
def test_no_line_is_read_by_the_control_plane():
    files = {
        f"{DAGS}/a.txt": b"-r b.txt\n-c c.txt\ncowsay==6.1 --hash=sha256:" + b"a" * 64,
        f"{DAGS}/b.txt": b"-i https://me:sesame@x.test/simple\nhumanize ; python_version > '3'",
        f"{DAGS}/c.txt": b"humanize<5",
    }
    data = f"-r {DAGS}/a.txt\npkg @ https://x.test/pkg-1.0-py3-none-any.whl\n".encode()
    found = read(data, files)
    assert [each.name for each in found.requested] == ["humanize", "cowsay", "pkg"]
    assert found.requested[1].hashes == ("sha256:" + "a" * 64,)
    assert (found.requested[0].file, found.requested[0].line) == (f"{DAGS}/b.txt", 2)
    assert found.constraints[0].text == "humanize<5"
    assert found.index.text == "https://me:sesame@x.test/simple"
    assert found.hide("it is me:sesame") == "it is ***"
    assert [each.direct for each in found.requested] == [False, False, True]
    wanted = UserFiles(requirements=data, dags=lambda path: files.get(f"{DAGS}/{path}"), user=BUILDER)
    first = user_files.inputs_of(wanted, locks.of("3.3.1"))
    files[f"{DAGS}/c.txt"] = b"humanize<6"
    assert user_files.inputs_of(wanted, locks.of("3.3.1")) != first


@pytest.mark.usefixtures("refusing")
def test_what_is_wrong_is_told_with_its_file_and_line_as_ever():
    with pytest.raises(ReleaseError, match="line 2: the option --target is not allowed") as refused:
        read(f"-r {DAGS}/a.txt\n".encode(), {f"{DAGS}/a.txt": b"cow\n--target /etc"})
    assert (refused.value.file, refused.value.line) == (f"{DAGS}/a.txt", 2)
    assert refused.value.code == "REQUIREMENTS_INVALID"
    with pytest.raises(ReleaseError, match=r"there is no file none\.txt"):
        read(b"-r none.txt")
    with pytest.raises(ReleaseError, match="includes more than"):
        read(f"-r {DAGS}/0.txt".encode(), {f"{DAGS}/0.txt": b"#" * (confined_requirements.LARGEST + 1)})


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"found": {"requested": ["--index-url"]}}',
        b'{"found": {"no_index": "yes"}}',
        json.dumps({"lacks": ["a"] * 3}).encode(),
    ],
)
def test_of_a_process_that_was_taken_over_only_the_right_form_is_believed(monkeypatch, answer):
    monkeypatch.setattr(confined, "call", lambda *_, **__: answer)
    with pytest.raises(ReleaseError):
        read(b"cow")


def answering(text):
    """Code for a process that somebody has taken over."""
    return f"import os; os.write(int(os.environ['AERODROME_CHANNEL']), {text.encode()!r}); os._exit(0)"


@pytest.mark.parametrize(
    "text", ["[]", '{"value": 1}x', '{"error": {}}', '{"failed": "x"}', '{"error": {"message": 1}}']
)
def test_an_answer_in_another_form_is_none(text):
    with pytest.raises(ReleaseError, match="broke off"):
        confined.call(exec, answering(text), user=BUILDER, limits=confined_requirements._LIMITS)


@pytest.mark.parametrize("text", ['{"value": 1}', '{"value": [1]}', '{"bytes": "WzFd"}', "nothing"])
def test_what_includes_what_is_asked_again_when_a_process_breaks_off(text, monkeypatch):
    call = confined.call
    monkeypatch.setattr(confined, "call", lambda *_, **more: call(exec, answering(text), **more))
    with pytest.raises(RetryError):
        confined_requirements.included({"": b"-r more.txt"}, BUILDER)
