"""uv's sentences become errors that name package, version, line and who must act."""

import os
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import errors
from aerodrome.release import essential_packages, locks, requirements, uv_errors, uv_lines
from aerodrome.release.failures import ReleaseError

LISTS = Path(
    os.environ.get("AERODROME_TEST_CONSTRAINTS") or Path(__file__).parents[4] / "shared" / "data" / "constraints"
)
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
    return uv_errors.refusal(said.splitlines(), read(text), BASE)


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


def test_two_requirements_of_the_user_that_exclude_each_other_are_both_named():
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
    assert uv_errors.needs_build(["hint: Wheels are required for `x` because building from source is disabled for all"])
    assert not uv_errors.needs_build(["error: No solution found"])


@given(
    st.lists(
        st.text(max_size=60) | st.sampled_from(["No solution found", "you require cowsay", "x depends on requests<1"])
    )
)
def test_no_text_breaks_it(lines):
    assert isinstance(uv_errors.refusal(lines, read(), BASE), errors.AerodromeError)


@pytest.mark.parametrize("flood", ["a" * 2000, "a." * 1000, "a==1 depend " * 160, "you require a" + "=1" * 900, ""])
def test_a_package_that_prints_without_end_keeps_the_control_plane_not_busy(flood):
    before = time.process_time()
    lines = ["error: Failed to build `cowsay==6.1`", *[flood] * 20_000, "hint: the end"]
    error = uv_errors.refusal(deque(lines), read(), BASE)
    assert time.process_time() - before < 20
    assert error.package == "cowsay"
    assert error.tail[-1] == "hint: the end"


def test_the_plan_leaves_out_what_the_base_has():
    lines = [
        "Resolved 3 packages in 1ms",
        " + cowsay==6.1",
        " + requests==2.34.2",
        " ~ x==1",
    ]
    assert uv_lines.planned(lines, BASE) == ({"cowsay": "6.1"}, frozenset())


@pytest.mark.parametrize(
    "lines",
    [[" - requests==2.34.2", " + requests==2.0.0"], [" + requests @ https://x.test/requests-2.0.0-py3-none-any.whl"]],
)
def test_a_plan_says_which_packages_of_the_base_it_replaces(lines):
    assert uv_lines.planned([*lines, " + cowsay==6.1"], BASE) == (
        {"requests": "2.0.0", "cowsay": "6.1"},
        frozenset({"requests"}),
    )


def kept(name, version, *needs):
    return essential_packages.BasePackage(name, version, needs)


def test_what_airflow_cannot_run_without_is_never_replaced():
    base = [kept("celery", "5.6.3"), kept("requests", "2.34.2")]
    assert essential_packages.judge(base, {"requests": "2.0.0"}, read(), python="3.12") == ()
    with pytest.raises(ReleaseError, match=r"celery 5\.4\.0 would replace celery 5\.6\.3, which Airflow") as caught:
        essential_packages.judge(base, {"celery": "5.4.0"}, read("cowsay\ncelery==5.4.0"), python="3.12")
    assert (caught.value.code, caught.value.line, caught.value.package) == ("REQUIREMENTS_CONFLICT", 2, "celery")


def test_what_airflow_itself_needs_otherwise_is_refused_and_what_another_needs_is_told():
    base = [
        kept("apache-airflow", "3.3.1", "requests>=2.30; python_version >= '3.12'", "requests<1; extra == 'old'"),
        kept("requests", "2.34.2"),
    ]
    with pytest.raises(
        ReleaseError, match=r"line 2: requests 2\.0\.0 is asked for, and apache-airflow 3\.3\.1.*>=2\.30"
    ):
        essential_packages.judge(base, {"requests": "2.0.0"}, read(), python="3.12")
    assert essential_packages.judge(base, {"requests": "2.31"}, read(), python="3.12") == ()
    assert essential_packages.judge(base, {"requests": "of that URL"}, read(), python="3.12") == ()
    other = [kept("opsgenie", "1.0", "requests>=2.30", "not a requirement!"), kept("requests", "2.34.2")]
    (note,) = essential_packages.judge(other, {"requests": "2.0.0"}, read(), python="3.12")
    assert note == (
        "opsgenie 1.0, which Airflow comes with, needs requests>=2.30, and requests is 2.0.0 by your requirements"
    )


@pytest.mark.parametrize("lock", locks.LOCKS.values(), ids=lambda lock: lock.version)
def test_what_mwaa_holds_is_held(lock):
    file = LISTS / f"mwaa-essential-{lock.version}.txt"
    if not file.exists():
        pytest.skip(f"there is no {file}; name a folder of such lists in AERODROME_TEST_CONSTRAINTS")
    base = locks.pinned(lock.path.read_text())
    theirs = locks.pinned(file.read_text())
    assert essential_packages.pins(base).items() >= {name: base[name] for name in theirs.keys() & base.keys()}.items()
    assert all(theirs[name] == base[name] for name in theirs.keys() & base.keys())


def test_constraints_that_apply_are_named_beside_what_airflow_comes_with():
    said = f"{NO_SOLUTION}Because you require pandas==3.1.1 and pandas==2.1.4{UNSOLVED}"
    error = uv_errors.refusal(said.splitlines(), read("cowsay\npandas==3.1.1"), BASE, {"pandas": "2.1.4"})
    assert (error.code, error.line) == ("REQUIREMENTS_CONFLICT", 2)
    assert "line 2: pandas==3.1.1 is asked for, and Airflow has in its constraints pandas 2.1.4" in str(error)


def test_constraints_on_what_the_base_has_are_dropped_with_a_note():
    wanted = requirements.read(
        b"-c c.txt", version="3.3.1", python="3.12", files={"c.txt": b"requests==1\nbotocore==1.43.70\nsix==1"}.get
    )
    kept, notes = uv_lines.constraints(wanted, BASE)
    assert kept == ["six==1"]
    assert "requests 2.34.2" in notes[0]
    assert "botocore" not in notes[0]
