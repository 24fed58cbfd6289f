"""Statements for Airflow's metadata database."""

from __future__ import annotations

from datetime import UTC, datetime

from aerodrome.airflow import metadata, versions


def test_each_line_is_asked_in_its_own_spelling_and_with_one_parameter():
    three, two = (metadata.parse_request(versions.lookup(number)) for number in ("3.3.1", "2.11.2"))
    assert (three.style, two.style) == ("relative", "absolute")
    assert three.text.count("%s") == two.text.count("%s") == 1
    assert "dags-folder:" in three.text
    assert metadata.parse_request(versions.lookup("1.10.15")) is None


def test_ageing_touches_the_dead_workers_only(version):
    died_at = datetime(2026, 1, 1, tzinfo=UTC)
    statements = metadata.age_heartbeats(version, "worker-1.%", died_at)
    assert len(statements) == (1 if version.line == 1 else 2)
    for statement in statements:
        assert statement.parameters == {
            "hostnames": "worker-1.%",
            "died_at": died_at,
            "late": died_at + metadata.UNDER_WAY,
            "begun": ["running", "restarting"] if version.line == 3 else ["running"],
        }
        assert "hostname LIKE %(hostnames)s" in statement.text
    assert "%(died_at)s" in statements[-1].text


def test_the_pool_gets_its_slots_by_parameter():
    assert metadata.set_default_pool(7).parameters == (7,)


def test_only_the_way_down_from_3_removes_runs():
    three, newer, two = (versions.lookup(number) for number in ("3.0.6", "3.3.1", "2.11.2"))
    assert "logical_date IS NULL" in metadata.runs_without_place(newer, two).text
    for source, target in ((two, newer), (three, newer), (newer, three), (two, two)):
        assert metadata.runs_without_place(source, target) is None


def test_only_the_way_up_to_3_leaves_roles_behind():
    three, newer, two = (versions.lookup(number) for number in ("3.0.6", "3.3.1", "2.11.2"))
    asked = metadata.roles_without_effect(two, newer)
    assert "ab_role" in asked.text
    assert asked.parameters == (["Admin", "Op", "User", "Viewer", "Public"],)
    for source, target in ((newer, two), (three, newer), (newer, three), (two, two)):
        assert metadata.roles_without_effect(source, target) is None
