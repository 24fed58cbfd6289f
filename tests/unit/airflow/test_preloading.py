"""The lists of modules that the warm processes import."""

from __future__ import annotations

from aerodrome.airflow import preloading


def names(version):
    return preloading.file(version.number).read_text().splitlines()


def test_no_module_of_airflow_or_ours_is_imported_early(version):
    assert not [name for name in names(version) if name.partition(".")[0] in {"airflow", "aerodrome", "__main__"}]


def test_the_large_ones_are_there(version):
    assert {"sqlalchemy", "celery", "pendulum", "kombu.transport.redis", "psycopg2"} <= set(names(version))
    assert ("fastapi" in names(version)) == (version.line == 3)
    assert "flask_appbuilder" in names(version) or version.line == 3


def test_each_is_named_once(version):
    assert len(names(version)) == len(set(names(version)))
