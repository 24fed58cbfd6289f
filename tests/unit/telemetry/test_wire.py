from __future__ import annotations

import json

import pytest

from aerodrome.telemetry import insights_api, wire
from aerodrome.telemetry.logs_api import OFFERED, SEARCHES
from aerodrome.telemetry.refusals import TelemetryRefusedError


def read(name: str, document: object) -> wire.Document:
    return wire.read(wire.operation(f"Logs_20140328.{name}"), json.dumps(document).encode())


def test_every_operation_that_is_offered_is_one_of_aws():
    for name in (*OFFERED, *SEARCHES, *insights_api.OFFERED):
        assert wire.operation(f"Logs_20140328.{name}").name == name


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({}, "'logGroupName' failed to satisfy constraint: Member must not be null"),
        ({"logGroupName": 5}, "Member must be a string"),
        ({"logGroupName": "a b"}, "regular expression pattern"),
        ({"logGroupName": "a" * 513}, "length less than or equal to 512"),
        ({"logGroupName": "a", "logGroupClass": "BEST"}, "enum value set"),
        ({"logGroupName": "a", "tags": []}, "Member must be an object"),
        ([], "Member must be an object"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(document, told):
    with pytest.raises(TelemetryRefusedError, match=told):
        read("CreateLogGroup", document)


def test_halves_of_surrogate_pairs_and_unknown_members_do_not_come_in():
    given = {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "a\ud800"}], "x": 1}
    found = read("PutLogEvents", given)
    assert found == {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "a?"}]}
