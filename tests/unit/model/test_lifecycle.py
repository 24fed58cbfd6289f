"""The lifecycle's table: what is allowed, what is refused, and that no environment can get stuck."""

from __future__ import annotations

import botocore.session
import pytest

from aerodrome.errors import CallerError
from aerodrome.model import lifecycle
from aerodrome.model.lifecycle import TABLE, Event, Status


def reachable(status: Status) -> set[Status]:
    seen, edge = {status}, [status]
    while edge:
        here = edge.pop()
        for (before, _), leads in TABLE.items():
            if before is here and leads.status not in seen:
                seen.add(leads.status)
                edge.append(leads.status)
    return seen


def test_every_status_is_one_that_the_api_knows():
    model = botocore.session.get_session().get_service_model("mwaa")
    assert {status.value for status in Status} <= set(model.shape_for("EnvironmentStatus").enum)


def test_every_status_is_reachable_from_creating():
    assert reachable(Status.CREATING) == set(Status)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DELETED])
def test_every_living_environment_can_be_deleted(status):
    assert lifecycle.transition(status, Event.DELETE_REQUESTED).status is Status.DELETING
    assert Status.DELETED in reachable(status)


def test_nothing_follows_deletion():
    assert reachable(Status.DELETED) == {Status.DELETED}


@pytest.mark.parametrize(
    ("status", "event"), [(status, event) for status in Status for event in Event if (status, event) not in TABLE]
)
def test_a_missing_pair_is_refused_with_its_status(status, event):
    with pytest.raises(CallerError, match=status.value):
        lifecycle.transition(status, event)


def test_a_deleted_environment_is_refused_in_the_words_that_terraform_looks_for():
    with pytest.raises(CallerError, match="DELETED status cannot be deleted"):
        lifecycle.transition(Status.DELETED, Event.DELETE_REQUESTED)
