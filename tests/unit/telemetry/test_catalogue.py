from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aerodrome.telemetry import catalogue as catalogue_module
from aerodrome.telemetry.acceptance import DAY, LogEvent
from aerodrome.telemetry.catalogue import OWN_STREAM, Catalogue, Written
from aerodrome.telemetry.keeping import Write
from aerodrome.telemetry.refusals import TelemetryRefusedError

NOW = 20_000 * DAY
CUTOFFS = {1: NOW - 7 * DAY}


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    made = Catalogue(tmp_path / "catalogue.sqlite")
    group(made, "g")
    yield made
    made.close()


def group(catalogue: Catalogue, name: str) -> None:
    catalogue.create_group(name, now=NOW, kind="STANDARD", tags={}, is_protected=False)


def say(catalogue: Catalogue, stream: str, *moments: int, now: int = NOW) -> None:
    found = catalogue.group("g")
    catalogue.append(found, catalogue.stream(found, stream), [LogEvent(moment, "x") for moment in moments], now=now)


def file_of_all(catalogue: Catalogue, name: str) -> None:
    (fresh,) = catalogue.fresh()
    written = Written(name=name, rows=fresh.rows, size=10, raw=10, last_moment=NOW)
    catalogue.commit(Write(group=1, day=fresh.day, up_to=fresh.last_number, parts=tuple(catalogue.parts())), written)


def names(catalogue: Catalogue) -> list[str]:
    found = catalogue.streams(catalogue.group("g"), prefix="", after="", is_descending=False, limit=100)
    return [stream.name for stream in found]


@pytest.mark.parametrize("limit", ["MOST_STREAMS_OF_ONE", "MOST_STREAMS"])
def test_streams_are_bounded_also_after_a_restart(catalogue, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(catalogue_module, limit, 3)
    for number in range(3):
        catalogue.create_stream("g", f"{number}", now=NOW)
    for opened in (catalogue, Catalogue(tmp_path / "catalogue.sqlite")):
        with pytest.raises(TelemetryRefusedError, match="too many log streams") as refused:
            opened.create_stream("g", "more", now=NOW)
        assert refused.value.code == "LimitExceededException"
    catalogue.delete_stream("g", "0")
    catalogue.create_stream("g", "more", now=NOW)
    catalogue.delete_group("g")
    group(catalogue, "g")
    catalogue.create_stream("g", "more", now=NOW)


def test_groups_and_deleted_streams_are_bounded(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_GROUPS", 2)
    monkeypatch.setattr(catalogue_module, "MOST_GONE", 1)
    group(catalogue, "h")
    with pytest.raises(TelemetryRefusedError, match="delete one"):
        group(catalogue, "i")
    assert [each.name for each in catalogue.groups(limit=9)] == ["g", "h"]
    for name in "ab":
        catalogue.create_stream("g", name, now=NOW)
    catalogue.delete_stream("g", "a")
    with pytest.raises(TelemetryRefusedError, match="try later"):
        catalogue.delete_stream("g", "b")
    assert names(catalogue) == ["b"]


def test_streams_go_with_their_last_events(catalogue):
    for name in ("silent", "past", "fed", "young"):
        catalogue.create_stream("g", name, now=NOW if name == "young" else NOW - 9 * DAY)
    say(catalogue, "past", NOW - 8 * DAY, now=NOW - 8 * DAY)
    say(catalogue, "fed", NOW - 8 * DAY, NOW - DAY)
    assert catalogue.forget_streams(CUTOFFS) == 2
    assert names(catalogue) == ["fed", "young"]
    assert catalogue.forget_streams(CUTOFFS) == 0


def test_a_deleted_stream_is_remembered_as_long_as_a_file_may_have_its_events(catalogue):
    catalogue.create_stream("g", "a", now=NOW)
    catalogue.create_stream("g", "b", now=NOW)
    say(catalogue, "a", NOW)
    file_of_all(catalogue, "first")
    catalogue.delete_stream("g", "a")

    def is_remembered() -> bool:
        catalogue.forget_streams(CUTOFFS)
        return catalogue._db.execute("SELECT count(*) FROM gone_streams").fetchone()[0] == 1

    assert is_remembered()
    assert is_remembered(), "the file is still there"
    say(catalogue, "b", NOW)
    file_of_all(catalogue, "second")  # in the first one's place
    assert not is_remembered()


def test_what_is_acknowledged_has_a_stream(catalogue):
    catalogue.create_stream("g", "a", now=NOW)
    found = catalogue.group("g")
    stream = catalogue.stream(found, "a")
    catalogue.delete_stream("g", "a")
    with pytest.raises(TelemetryRefusedError):
        catalogue.append(found, stream, [LogEvent(NOW, "x")], now=NOW)
    assert catalogue.fresh() == []


def test_the_store_says_in_the_group_what_it_drops(catalogue):
    for _ in range(2):
        catalogue.tell(1, "dropped", now=NOW)
    catalogue.tell(99, "a group that is gone", now=NOW)
    assert names(catalogue) == [OWN_STREAM]
    assert [(each.group, each.rows) for each in catalogue.fresh()] == [(1, 2)]
