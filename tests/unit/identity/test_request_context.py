"""The condition keys of every request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from aerodrome.identity.request_context import principal_context
from unit.identity.memory_store import ACCOUNT, ADA, ENGINEER, SESSION, SIDECAR

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def test_a_user_s_keys():
    tags = {"Team": "data", "team": "web"}
    found = principal_context(replace(ADA, tags=tags), now=NOW, source_ip="203.0.113.9", secure=True)
    assert found == {
        "aws:principalarn": (ADA.arn,),
        "aws:principalaccount": (ACCOUNT,),
        "aws:principaltype": ("User",),
        "aws:principalisawsservice": ("false",),
        "aws:userid": (ADA.unique_id,),
        "aws:username": ("ada",),
        "aws:currenttime": ("2024-05-01T00:00:00Z",),
        "aws:epochtime": ("1714521600",),
        "aws:securetransport": ("true",),
        "aws:viaawsservice": ("false",),
        "aws:sourceip": ("203.0.113.9",),
        "aws:principaltag/team": ("data", "web"),
    }


def test_a_session_is_its_role_and_has_no_user_name():
    found = principal_context(replace(SESSION, issued_at=NOW), now=NOW, source_ip="", secure=False)
    assert found["aws:principalarn"] == (ENGINEER,)
    assert found["aws:userid"] == ("AROAAAAAAAAAAAAAAAAAA:today",)
    assert found["aws:principaltype"] == ("AssumedRole",)
    assert found["aws:tokenissuetime"] == ("2024-05-01T00:00:00Z",)
    assert found["aws:securetransport"] == ("false",)
    assert not {"aws:username", "aws:sourceip", "aws:principalservicename"} & found.keys()


def test_a_service_is_named_as_one():
    found = principal_context(SIDECAR, now=NOW, source_ip="127.0.0.1", secure=False)
    assert found["aws:principalisawsservice"] == ("true",)
    assert found["aws:principalservicename"] == ("airflow-env.amazonaws.com",)
