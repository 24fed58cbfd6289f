"""The door for run requests: what is let in, and which field a refusal names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import runspecs, specs

GOOD = {
    "id": "command-1",
    "argv": ["/boot.py", "cli", "version"],
    "env": {"A": "b"},
    "cwd": "/",
    "umask": 0o077,
    "uid": 5,
    "gid": 6,
    "stdout": "/out",
    "stderr": "/err",
    "timeout": 60,
    "limit": 1000,
}


def test_a_whole_request_is_taken_as_it_is() -> None:
    run = runspecs.parse({**GOOD, "op": "run", "log": "/elsewhere", "ready": "notify"})

    assert (run.stdout, run.stderr, run.timeout, run.limit) == ("/out", "/err", 60.0, 1000)
    assert (run.spec.name, run.spec.argv, run.spec.env) == ("command-1", tuple(GOOD["argv"]), {"A": "b"})
    assert (run.spec.uid, run.spec.gid, run.spec.how, run.spec.ready) == (5, 6, "fork", "started")


@pytest.mark.parametrize("field", [field for field in GOOD if field not in ("umask", "uid", "gid")])
def test_what_is_missing_is_named(field) -> None:
    raw = {key: value for key, value in GOOD.items() if key != field}
    with pytest.raises(specs.RefusedError, match="name" if field == "id" else field):
        runspecs.parse(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(GOOD)), JSON)
def test_any_value_of_any_field_is_sound_or_refused(field, value) -> None:
    try:
        run = runspecs.parse({**GOOD, field: value})
    except specs.RefusedError:
        return
    assert 0 < run.timeout <= runspecs.LONGEST_TIMEOUT
    assert 0 < run.limit <= runspecs.LARGEST_LIMIT
    assert run.stdout.startswith("/")
    assert run.stderr.startswith("/")


def test_no_argument_is_told_by_the_representation() -> None:
    secret = {**GOOD, "argv": ["variables", "set", "k", "hunter2"], "env": {"A": "hunter2"}}

    assert "hunter2" not in repr(runspecs.parse(secret))
