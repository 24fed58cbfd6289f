"""Which installed Airflow versions may go: decided without a disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release import collect
from aerodrome.release.collect import KEEP, KEEP_OFFERED, Present

NOW = datetime(2026, 6, 1, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
NAMES = ("3.3.1-a", "3.3.1-b", "2.11.2-a", "1.10.15-a")


@pytest.mark.parametrize(
    ("age", "used", "offered", "goes"),
    [
        (KEEP + MOMENT, (), (), True),
        (KEEP, (), (), False),
        (KEEP_OFFERED * 2, NAMES[:1], (), False),
        (KEEP + MOMENT, (), NAMES[:1], False),
        (KEEP_OFFERED, (), NAMES[:1], False),
        (KEEP_OFFERED + MOMENT, (), NAMES[:1], True),
    ],
)
def test_when_it_goes(age, used, offered, goes):
    assert collect.idle([Present(NAMES[0], NOW - age)], used, offered, now=NOW) == [NAMES[0]] * goes


@given(
    st.dictionaries(st.sampled_from(NAMES), st.timedeltas(timedelta(0), KEEP_OFFERED * 3)),
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)),
)
def test_what_is_used_or_was_of_late_never_goes(ages, used, offered):
    gone = collect.idle([Present(name, NOW - age) for name, age in ages.items()], used, offered, now=NOW)
    assert len(gone) == len({*gone})
    for name in gone:
        assert name not in used
        assert ages[name] > (KEEP_OFFERED if name in offered else KEEP)
