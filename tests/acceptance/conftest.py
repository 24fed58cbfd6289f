"""The two lines of Airflow that everything is tried on."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["3.3.1", "2.11.2"])
def line(request: pytest.FixtureRequest) -> str:
    """An Airflow version of each."""
    return str(request.param)
