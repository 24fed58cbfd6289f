from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry import positions
from aerodrome.telemetry.positions import Position
from aerodrome.telemetry.refusals import TelemetryRefusedError

places = st.builds(Position, st.integers(0, 2**53), st.integers(0, 2**62))


@given(places, st.sampled_from("fb"))
def test_tokens_carry_a_place(place, direction):
    assert positions.read_page_token(positions.page_token(direction, place)) == (direction, place)
    token = positions.search_token(direction, place, {"logGroupName": "a"})
    asked = {"logGroupName": "a", "limit": 5, "nextToken": token}
    assert positions.read_search_token(token, asked) == (direction, place)
    with pytest.raises(TelemetryRefusedError):
        positions.read_search_token(token, {"logGroupName": "b"})


@given(places, places)
def test_ids_of_events_have_the_order_of_events(one, other):
    assert (positions.event_id(one) < positions.event_id(other)) == (one < other)
    assert len(positions.event_id(one)) == 56


@given(st.text())
def test_no_other_text_is_a_token(text):
    with pytest.raises(TelemetryRefusedError):
        positions.read_page_token(text)
    with pytest.raises(TelemetryRefusedError):
        positions.read_search_token(text, {})
