"""Which Airflow versions the tests that start a real Airflow go through.

The two main ones, whose every test `make test` runs; `make lines` names the others in AERODROME_TEST_LINES, for every
further version takes minutes.
"""

from __future__ import annotations

import os

MAIN = ("3.3.1", "2.11.2")

ALL = "AERODROME_TEST_LINES" in os.environ
"""Whether this is `make lines`."""

CHOSEN = tuple(os.environ.get("AERODROME_TEST_LINES", "").split()) or MAIN

ALIKE = MAIN if ALL else MAIN[:1]
"""For what is done without Airflow, in one way for every line: one of the main ones, and both under `make lines`."""

FIRST = tuple(version for version in CHOSEN if version.startswith("1."))

WITH_REST = tuple(version for version in CHOSEN if version not in FIRST)
"""Airflow 1.10 has no stable REST API, which most of our tests ask."""

ONE = tuple(dict.fromkeys((*WITH_REST, *MAIN))) if ALL else MAIN[:1]
"""For what another test shows of the other main line: one of the two, and every line under `make lines`."""
