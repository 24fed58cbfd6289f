"""The folders below tests/: in which order and process their tests run, and what each of them counted and took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from xdist.scheduler import LoadFileScheduling

LONG = ("acceptance", "faults", "browser", "contract")
"""Tiers that start whole environments."""

SHARED = {
    "tests/acceptance/test_life.py": "shared_environment",
    "tests/acceptance/test_mwaa_hook.py": "shared_environment",
    "tests/acceptance/release/test_lines.py": "shared_environment",
    "tests/browser/test_web_login.py": "shared_environment",
    "tests/acceptance/airflow/test_environment.py": "airflow",
    "tests/acceptance/airflow/test_roles.py": "airflow",
}
"""Files whose tests ask for one fixture that takes long to make → its name. One process runs all files of a name."""

OUTCOMES = ("passed", "failed", "skipped", "error")
"""As pytest's own closing line calls them."""


def tier_of(nodeid: str) -> str:
    """The folder of a test: `tests/unit/cell/test_logs.py::test_x` is of `unit`."""
    return nodeid.partition("tests/")[2].partition("/")[0]


def order(nodeid: str) -> int:
    """What runs first: whole environments, then those that are shared, for they stay until their process ends."""
    if tier_of(nodeid) not in LONG:
        return 2
    return int(nodeid.partition("::")[0] in SHARED)


class FilesTogether(LoadFileScheduling):
    """A file's tests run in one process, and so do the tests of files that share something."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return SHARED.get(file, file)


def lines(reports: Iterable[tuple[str, pytest.TestReport]]) -> list[str]:
    """A line for each tier: how many tests ended in which way, and the seconds that they took with their fixtures.

    The seconds are those of all processes together; two of them work at once under `make test`.
    """
    seconds: Counter[str] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    for outcome, report in reports:
        tier = tier_of(report.nodeid)
        seconds[tier] += report.duration
        counts[tier, outcome] += 1
    return [
        f"{tier:12}{', '.join(f'{counts[tier, each]} {each}' for each in OUTCOMES if counts[tier, each])}"
        f" in {seconds[tier]:.0f} s"
        for tier in sorted(seconds, key=lambda tier: seconds[tier])
    ]
