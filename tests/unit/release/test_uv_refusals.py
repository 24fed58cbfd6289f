"""uv's sentences become errors that name package, version, line and who must act."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import errors
from aerodrome.release import requirements, uv_lines, uv_refusals
from aerodrome.release.failures import ReleaseError

BASE = {"requests": "2.34.2", "apache-airflow": "3.3.1", "botocore": "1.43.70"}
TEXT = """cowsay==6.1
requests==2.0.0
great-expectations==0.13.0
--extra-index-url https://me:secret@mine.test/simple
broken
"""


def read(text=TEXT):
    return requirements.read(text.encode(), version="3.3.1", python="3.12", files={}.get)


def refusal(said, text=TEXT):
    return uv_refusals.refusal(said.splitlines(), read(text), BASE)


NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: "


FETCH = "error: Failed to fetch: `https://mine.test/simple/cowsay/`\n  cause: "
UNSOLVED = ", we can conclude that your requirements are unsatisfiable."
FAILED = "REQUIREMENTS_INSTALL_FAILED"
CONFLICT = "REQUIREMENTS_CONFLICT"

SAID = {
    "pinned": f"{NO_SOLUTION}Because you require requests==2.0.0 and requests==2.34.2{UNSOLVED}",
    "needed": f"""{NO_SOLUTION}Because great-expectations==0.13.0 depends on requests>=2.20,<2.24 and requests==2.34.2,
         we can conclude that great-expectations==0.13.0 cannot be used.
         And because you require great-expectations==0.13.0{UNSOLVED}""",
    "unknown": f"{NO_SOLUTION}Because broken was not found in the package registry and you require broken{UNSOLVED}",
    "version": f"{NO_SOLUTION}Because there is no version of cowsay==6.1 and you require cowsay==6.1{UNSOLVED}",
    "python": f"""{NO_SOLUTION}Because the current Python version (3.12.1) does not satisfy Python>=3.13 and broken==1
         depends on Python>=3.13, we can conclude that broken==1 cannot be used. And because you require broken==1""",
    "every": f"""{NO_SOLUTION}Because all versions of broken depend on requests<2.20 and requests==2.34.2, we
         can conclude that all versions of broken cannot be used. And because you require broken{UNSOLVED}""",
    "requires": f"""Using Python 3.12.1 environment at: /x\n{NO_SOLUTION}Because broken==1.0 requires Python >=3.99 and
         only broken==1.0 is available, broken cannot be used. And because you require broken{UNSOLVED}""",
    "build": "  Failed to build `broken==1.0`\n  cause: The build backend returned an error\nerror: command failed",
    "refused": f"{FETCH}HTTP status client error (401 Unauthorized) for url (https://mine.test/simple/cowsay/)",
    "unreached": f"{FETCH}error sending request for url (https://mine.test/simple/cowsay/)\n  cause: dns error",
    "hash": "error: Failed to install: cowsay\n  cause: Hash mismatch for `cowsay==6.1`",
    "full": "error: write: No space left on device (os error 28)",
    "else": "error: something else about cowsay",
}


@pytest.mark.parametrize(
    ("said", "code", "line", "package", "words"),
    [
        ("pinned", CONFLICT, 2, "requests", ["requests==2.0.0", "2.34.2"]),
        ("needed", CONFLICT, 3, "requests", ["great-expectations", "requests>=2.20,<2.24", "requests 2.34.2"]),
        ("unknown", FAILED, 5, "broken", ["no package broken"]),
        ("version", FAILED, 1, "cowsay", ["has no cowsay==6.1"]),
        ("python", FAILED, 5, "broken", ["needs Python >=3.13", "runs 3.12.1"]),
        ("every", CONFLICT, 5, "requests", ["broken needs requests<2.20"]),
        ("requires", FAILED, 5, "broken", ["needs Python >=3.99", "runs 3.12.1"]),
        ("build", FAILED, 5, "broken", ["could not be built"]),
        ("refused", FAILED, 4, None, ["line 4", "401 Unauthorized"]),
        ("unreached", FAILED, 4, None, ["line 4", "cannot be reached", "dns error"]),
        ("hash", FAILED, 1, "cowsay", ["other bytes"]),
        ("full", FAILED, None, None, ["no space"]),
        ("else", FAILED, 1, "cowsay", ["something else"]),
    ],
)
def test_a_failure_names_kind_line_and_package(said, code, line, package, words):
    error = refusal(SAID[said])
    assert isinstance(error, ReleaseError)
    assert (error.code, error.line, error.package) == (code, line, package)
    assert all(word in str(error) for word in words), str(error)
    assert error.tail


def test_two_wishes_of_the_user_that_exclude_each_other_are_both_named():
    said = (
        NO_SOLUTION + "Because you require cowsay==6.1 and cowsay==6.0, we can conclude that your requirements are bad."
    )
    error = refusal(said, "cowsay==6.1\n\ncowsay==6.0\n")
    assert isinstance(error, ReleaseError)
    assert error.code == "REQUIREMENTS_CONFLICT"
    assert "line 1" in str(error)
    assert "line 3" in str(error)


def test_the_machines_own_index_is_worth_another_try():
    said = "error: Failed to fetch: https://pypi.test/simple/x/\n  cause: error sending request for url (https://pypi.test/)"
    assert isinstance(refusal(said), errors.RetryError)


def test_credentials_are_in_no_error():
    error = refusal("error: Failed to fetch: https://me:secret@pypi.test/simple/cowsay/\n  cause: weather")
    assert isinstance(error, ReleaseError)
    assert "secret" not in str(error) + "".join(error.tail)


def test_a_package_that_must_be_built_is_recognised():
    assert uv_refusals.needs_build(
        ["hint: Wheels are required for `x` because building from source is disabled for all"]
    )
    assert not uv_refusals.needs_build(["error: No solution found"])


@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from(["No solution found", "you require cowsay", "x depends on requests<1"])
    )
)
def test_no_text_breaks_it(lines):
    assert isinstance(uv_refusals.refusal(lines, read(), BASE), errors.AerodromeError)


def test_the_plan_leaves_out_what_the_base_has():
    lines = [
        "Resolved 3 packages in 1ms",
        " + cowsay==6.1",
        " + requests==2.34.2",
        " ~ x==1",
    ]
    assert uv_lines.planned(lines, read(), BASE) == (("cowsay", "6.1"),)


@pytest.mark.parametrize(
    "lines",
    [[" - requests==2.34.2", " + requests==2.0.0"], [" + requests @ https://x.test/requests-2.0.0-py3-none-any.whl"]],
)
def test_a_plan_that_replaces_a_package_of_the_base_is_a_conflict(lines):
    with pytest.raises(ReleaseError, match=r"line 2: requests 2\.0\.0 would replace requests 2\.34\.2") as caught:
        uv_lines.planned(lines, read(), BASE)
    assert caught.value.code == "REQUIREMENTS_CONFLICT"


def test_constraints_on_what_the_base_has_are_dropped_with_a_note():
    wanted = requirements.read(
        b"-c c.txt", version="3.3.1", python="3.12", files={"c.txt": b"requests==1\nbotocore==1.43.70\nsix==1"}.get
    )
    kept, notes = uv_lines.constraints(wanted, BASE)
    assert kept == ["six==1"]
    assert "requests 2.34.2" in notes[0]
    assert "botocore" not in notes[0]
