"""uv's lines become progress and errors that say who must act."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import errors
from aerodrome.release import uv_output
from aerodrome.release.uv_output import UvProgress, advance

LINES = [
    "Using Python 3.12.1 environment at: venv",
    "Resolved 176 packages in 435ms",
    "Downloading babel (9.7MiB)",
    "Downloading lxml (512.0KiB)",
    "   Building python-nvd3==0.16.0",
    " Downloaded babel",
    "      Built python-nvd3==0.16.0",
    " Downloaded lxml",
    "Prepared 176 packages in 880ms",
    "Installed 176 packages in 386ms",
    "Bytecode compiled 5840 files in 5.31s",
    " + aiohappyeyeballs==2.6.1",
]


def test_an_installation_is_followed_from_phase_to_phase():
    seen, progress = [], UvProgress()
    for line in LINES:
        progress = advance(progress, line)
        seen.append((progress.phase, progress.done, progress.total))
    assert list(dict.fromkeys(seen)) == [
        ("resolve", 0, 0),
        ("download", 0, 0),
        ("download", 0, 9932),
        ("download", 0, 10444),
        ("download", 9932, 10444),
        ("download", 10444, 10444),
        ("install", 0, 176),
        ("compile", 0, 0),
        ("compile", 5840, 5840),
    ]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=40)))
def test_no_line_breaks_it(lines):
    progress = reduce(advance, lines, UvProgress())
    assert progress.phase in {"resolve", "download", "install", "compile"}


REFUSED = """error: Failed to fetch: http://127.0.0.1:9/simple/pyjwt/
  cause: error sending request for url (http://127.0.0.1:9/simple/pyjwt/)
  cause: client error (Connect)
  cause: tcp connect error
  cause: Connection refused (os error 111)"""

FULL = """error: Failed to install: more_itertools-10.8.0-py3-none-any.whl (more-itertools==10.8.0)
  cause: failed to copy file from /a to /b: No space left on device (os error 28)"""

HASH = """error: Failed to download `six==1.17.0`
  cause: Hash mismatch for `six==1.17.0`"""

MISSING = """error: No solution found when resolving dependencies
  cause: Because six was not found in the package registry and you require six==1.17.0, we can conclude"""


def test_an_unreachable_index_is_worth_another_try():
    error = uv_output.failure("it failed", REFUSED.splitlines())
    assert isinstance(error, errors.RetryError)
    assert error.delay > 1
    assert str(error) == "it failed: the download server cannot be reached (Connection refused (os error 111))"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (FULL, "it failed: no space is left on the disk; free about 1 GB"),
        (HASH, "it failed: the package index served other bytes than the lock names; check the index or its mirror"),
        (MISSING, "it failed: No solution found when resolving dependencies"),
        ("", "it failed: uv failed"),
    ],
)
def test_what_a_person_must_mend_is_broken_and_says_how(output, sentence):
    error = uv_output.failure("it failed", output.splitlines())
    assert isinstance(error, errors.BrokenError)
    assert str(error) == sentence
    assert error.code == "VERSION_INSTALL_FAILED"
    assert error.tail == tuple(output.splitlines())


def test_a_password_in_an_url_is_not_passed_on():
    error = uv_output.failure("it failed", ["error: cannot read https://me:secret@index/simple"])
    assert isinstance(error, errors.BrokenError)
    assert "secret" not in str(error) + " ".join(error.tail)
