"""Which versions are offered."""

from __future__ import annotations

import pytest

from aerodrome.airflow import versions
from aerodrome.errors import CallerError


def test_the_default_is_offered():
    assert versions.lookup(versions.DEFAULT).number == versions.DEFAULT


def test_an_unknown_version_is_the_callers_error_and_names_field_value_and_choice():
    with pytest.raises(CallerError, match=r"AirflowVersion '9\.9\.9' .*3\.3\.1, 2\.11\.2"):
        versions.lookup("9.9.9")


def test_a_hostile_value_is_cut():
    with pytest.raises(CallerError) as caught:
        versions.lookup("x" * 10_000)
    assert len(str(caught.value)) < 200


def test_every_version_knows_its_line(version):
    assert version.number.startswith(f"{version.line}.")
    assert version.adapter.REST_PREFIX in {"/api/v1", "/api/v2"}
