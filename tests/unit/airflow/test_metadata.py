"""Statements for Airflow's metadata database."""

from __future__ import annotations

from datetime import UTC, datetime

from aerodrome.airflow import metadata, versions


def test_each_line_is_asked_in_its_own_spelling_and_with_one_parameter():
    three, two = (metadata.parse_request(versions.lookup(number)) for number in ("3.3.1", "2.11.2"))
    assert (three.style, two.style) == ("relative", "absolute")
    assert three.text.count("%s") == two.text.count("%s") == 1
    assert "dags-folder:" in three.text


def test_ageing_touches_one_dead_worker_only(version):
    died_at = datetime(2026, 1, 1, tzinfo=UTC)
    statement = metadata.age_heartbeats(version, "worker-1", died_at)
    assert statement.parameters == {"hostname": "worker-1", "died_at": died_at}
    assert "%(hostname)s" in statement.text
    assert "%(died_at)s" in statement.text


def test_the_pool_gets_its_slots_by_parameter():
    assert metadata.set_default_pool(7).parameters == (7,)
