from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry import patterns
from aerodrome.telemetry.refusals import TelemetryRefusedError


@pytest.mark.parametrize(
    "pattern",
    [
        "[ip, user, status]",
        "{ $.a = 1",
        "{ $.a }",
        "{ $.a = }",
        "{ a = 1 }",
        "{ $.a > x }",
        "{ ($.a = 1 }",
        "{ $.a = 1 && }",
        "{ $.a IS SOMETHING }",
        "{ $.a NOT 1 }",
        "{ $.a = 1 ) }",
        "{ " + "(" * 30 + "$.a = 1" + ")" * 30 + " }",
        '"open',
        "%(a|b)%",
        "%%",
    ],
)
def test_what_is_no_pattern_is_refused_with_a_sentence(pattern):
    with pytest.raises(TelemetryRefusedError, match="Invalid filter pattern: "):
        patterns.read(pattern)


@given(st.text(max_size=60))
def test_no_text_of_a_pattern_becomes_sql(text):
    try:
        found = patterns.read(text)
    except TelemetryRefusedError:
        return
    assert found.sql.count("?") == len(found.parameters)
    assert set(found.sql) <= set(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_(),?:=!<>'\\")
