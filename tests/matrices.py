"""What `make test` takes a sample of, for the whole takes long: who touches it runs the whole."""

from __future__ import annotations

import os

import pytest

ALL_FAULTS = bool(os.environ.get("AERODROME_TEST_FAULTS"))
"""Whether this is `make faults`."""

EVERY_FAULT = pytest.mark.skipif(not ALL_FAULTS, reason="make faults runs it; make test runs one of a kind")
"""Marks a fault on real processes beside another of its kind, which always runs."""


def sampled(*always: str, beside: tuple[str, ...]) -> list[object]:
    """Parameters of a test: those that always run, and those that only `make faults` runs."""
    return [*always, *(pytest.param(each, marks=EVERY_FAULT) for each in beside)]
