from __future__ import annotations

import json

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry import event_streams


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=200), max_size=4), max_size=5), st.integers(1, 50)
)
def test_botocore_reads_what_is_written_in_whatever_pieces_it_comes(contents, piece):
    written = b"".join(event_streams.event("sessionUpdate", content) for content in contents)
    written += event_streams.exception("SessionTimeoutException", "over")
    buffer, found = EventStreamBuffer(), []
    for start in range(0, len(written), piece):
        buffer.add_data(written[start : start + piece])
        found += [message.to_response_dict() for message in buffer]
    *events, last = found
    assert [json.loads(each["body"]) for each in events] == contents
    assert all(each["headers"][":event-type"] == "sessionUpdate" for each in events)
    assert last["headers"][":exception-type"] == "SessionTimeoutException"
