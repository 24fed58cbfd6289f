"""An execution API has its newest version alone, and all of them where that cannot be."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from aerodrome.airflow.inside.aerodrome_unit import execution_api

OLD, NEW = SimpleNamespace(tags=["deleted"]), SimpleNamespace(tags=[])


@pytest.fixture
def applications(monkeypatch):
    """What we use of Cadwyn."""
    found = SimpleNamespace(generate_versioned_routers=lambda router, *, versions, **_: (router.routes, versions))
    bundle = lambda *each, api_version_var: (each, api_version_var)  # noqa: E731 - a stand-in
    package = SimpleNamespace(
        applications=found, HeadVersion=lambda: "head", Version=lambda value: value, VersionBundle=bundle, __path__=[]
    )
    monkeypatch.setitem(sys.modules, "cadwyn", package)
    monkeypatch.setitem(sys.modules, "cadwyn.applications", found)
    monkeypatch.setitem(sys.modules, "cadwyn.route_generation", SimpleNamespace(_DELETED_ROUTE_TAG="deleted"))
    return found


def versions():
    return SimpleNamespace(
        versions=[SimpleNamespace(value="2"), SimpleNamespace(value="1")], api_version_var="variable"
    )


def test_the_newest_version_is_generated_without_what_it_has_no_more(applications):
    execution_api.speak_newest_only()
    routes, bundle = applications.generate_versioned_routers(SimpleNamespace(routes=[OLD, NEW]), versions=versions())
    assert routes == [NEW]
    assert bundle == (("head", "2"), "variable")


def test_it_is_said_twice_and_done_once(applications):
    execution_api.speak_newest_only()
    once = applications.generate_versioned_routers
    execution_api.speak_newest_only()
    assert applications.generate_versioned_routers is once


def test_what_cannot_be_generated_alone_is_generated_as_ever(applications):
    asked = []

    def generate(router, *, versions, **_):
        asked.append((list(router.routes), versions))
        if len(asked) == 1:
            raise ValueError("it has changed")
        return "all"

    applications.generate_versioned_routers = generate
    execution_api.speak_newest_only()
    given = versions()
    assert applications.generate_versioned_routers(SimpleNamespace(routes=[OLD, NEW]), versions=given) == "all"
    assert asked[1] == ([OLD, NEW], given)


def test_an_airflow_without_it_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "cadwyn", None)
    execution_api.speak_newest_only()
