"""Which spellings of a path are taken, and that no spelling reaches what is blocked."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.gateway import airflow_paths


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/dags/x/runs/manual__2026-01-01T00:00:00+00:00/tasks/a", None),
        (b"/api/v2/dags/a.b-c_d~e/dagRuns/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00", None),
        (b"/api/v2/variables/%C3%A9", "/api/v2/variables/é"),
        (b"/static/assets/index-B2x.js", None),
        (b"/executions", None),
        (b"/ui/auth/menus", None),
        (b"/dags/execution/x", None),
    ],
)
def test_what_airflow_s_pages_ask_for_passes(raw, path):
    assert airflow_paths.canonical(raw) == (path or unquote(raw.decode()))
    assert not airflow_paths.is_blocked(airflow_paths.canonical(raw))


@pytest.mark.parametrize(
    "raw", [b"", b"*", b"x", b"http://x/", b"/" + b"x" * 9000, b"/a b", b"/\xff", b"/a?b", b"/a#b"]
)
def test_what_is_no_path_is_refused(raw):
    with pytest.raises(airflow_paths.RefusedPathError):
        airflow_paths.canonical(raw)


PIECES = st.sampled_from(
    ["/", "//", "/./", ".", "..", "execution", "EXECUTION", "auth", "token", "x", "é", "~", ";", "\\", "?", "#", " "]
    + [f"%{code}" for code in ("", "2e", "2E%2e", "2f", "5c", "25", "32%66", "65", "00", "20", "09", "c0%af")]
)


@given(st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
def test_no_spelling_of_a_blocked_path_passes(text):
    """However often a server behind us decodes and normalises, a path that passed is not one that is blocked."""
    try:
        path = airflow_paths.canonical(text.encode())
    except airflow_paths.RefusedPathError:
        return
    if airflow_paths.is_blocked(path):
        return
    for _ in range(3):
        path = posixpath.normpath(unquote(path).replace("\\", "/")).replace("//", "/")
        first = path.split("/")[1].strip().lower()
        assert first not in {"execution", "auth"}


@given(st.binary(max_size=64))
def test_any_bytes_are_judged(raw):
    try:
        path = airflow_paths.canonical(raw)
    except airflow_paths.RefusedPathError:
        return
    assert path.startswith("/")
    assert path.isprintable() or max(path) > "\x7f"
    assert "//" not in path


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/aws_mwaa/login", "login"),
        ("/aws_mwaa/login/", "login"),
        ("/pluginsv2/aws_mwaa/cli", "cli"),
        ("/AWS_MWAA/cli", "cli"),
        ("/aws_mwaa", ""),
        ("/aws_mwaa/", ""),
        ("/aws_mwaax", None),
        ("/pluginsv2/x", None),
        ("/", None),
    ],
)
def test_the_gateway_s_own_paths(path, own):
    assert airflow_paths.own(path) == own
