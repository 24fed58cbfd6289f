"""The DAG file of the example, run to success by each Airflow line against a real AWS emulator and PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import lines
from examples.movielens import archive

EXAMPLE = Path(archive.__file__).parent

DAYS = ("2024-01-01", "2024-01-02") if lines.ALL else ("2024-01-01",)
"""A run takes as much of a processor as an environment."""

TASKS = {
    "check_s3_for_key",
    "files_to_s3",
    "create_athena_movie_table",
    "create_athena_ratings_table",
    "create_athena_tags_table",
    "join_athena_tables",
    "create_warehouse_table_if_not_exists",
    "clean_up_csv",
    "load",
}


class Row(NamedTuple):
    """A row of the warehouse."""

    title: str
    year: int | None
    genres: str
    fans: int
    rating: float
    tag: str | None


class Airflow:
    """One Airflow line with a folder, a metadata database and a `dags` folder of its own."""

    def __init__(self, venv: Path, home: Path, aws: dict[str, str]) -> None:
        self.home = home
        self.command = venv / "bin" / "airflow"
        self.environment = {
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **aws,
        }
        (home / "dags").mkdir()
        shutil.copy(EXAMPLE / "dags" / "movielens.py", home / "dags")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.command, *arguments],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"airflow {arguments[0]} {arguments[1]} failed:\n{done.stdout[-6000:]}"
        return done.stdout

    def query(self, sql: str) -> list[Any]:
        connection = sqlite3.connect(self.home / "airflow.db")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


@pytest.fixture
def airflow(airflow_venv: Path, tmp_path: Path, aws: dict[str, str], warehouse: Any) -> Airflow:
    line = Airflow(airflow_venv, tmp_path, aws)
    line.run("db", "migrate")
    connection = {
        "conn_type": "postgres",
        "host": warehouse.host,
        "port": warehouse.port,
        "login": warehouse.user,
        "password": warehouse.password,
        "schema": warehouse.database,
    }
    line.environment["AIRFLOW_CONN_MOVIE_WAREHOUSE"] = json.dumps(connection)
    return line


def shown(title: str) -> tuple[str, int | None]:
    """Say how a title must appear in the warehouse."""
    name, _, year = title.partition(" (")
    for article in ("The", "A", "An"):
        if name.endswith(f", {article}"):
            name = f"{article} {name[: -len(article) - 2]}"
    return name, int(year.rstrip(")")) if year else None


def expected_rows() -> list[Row]:
    """Compute without SQL, from the example's films, what must be in the warehouse, by title."""
    stars, tags = defaultdict(list), defaultdict(Counter)
    for rating in archive.ratings():
        stars[rating.movie].append(rating.stars)
    for _user, movie, tag in archive.tags():
        tags[movie][tag] += 1
    rows = []
    for movie, film in enumerate(archive.FILMS, start=1):
        fans = sum(star > 4 for star in stars[movie])
        favourite = min(tags[movie].items(), key=lambda item: (-item[1], item[0]), default=(None, 0))[0]
        mean = pytest.approx(statistics.fmean(stars[movie]), abs=0.006)
        if fans:
            rows.append(Row(*shown(film.title), film.genres.replace("|", ", "), fans, mean, favourite))
    return sorted(rows, key=lambda row: row.title)


def loaded_rows(warehouse: Any) -> list[Row]:
    with warehouse.connect() as connection:
        rows = connection.execute("SELECT title, year, genres, fans, rating::float8, tag FROM movie_demo").fetchall()
    return sorted((Row(*row) for row in rows), key=lambda row: row.title)


@pytest.mark.timeout(900)  # three starts of Airflow and two runs; a busy machine needs minutes
def test_the_pipeline_loads_what_the_archive_says_and_may_run_again(airflow: Airflow, bucket: str, warehouse: Any):
    with archive.served(archive.make()) as url:
        conf = json.dumps({"bucket": bucket, "archive_url": url, "database": bucket.replace("-", "_")})
        for day in DAYS:
            airflow.run("dags", "test", "movielens", day, "--conf", conf)
            assert loaded_rows(warehouse) == expected_rows()

    states = airflow.query("SELECT task_id, state FROM task_instance")
    assert sorted(states) == sorted((task, "success") for task in TASKS for _day in DAYS)
    [top] = {value for (value,) in airflow.query("SELECT value FROM xcom WHERE task_id = 'load' AND key = 'top'")}
    films = [Row(**film) for film in json.loads(top)]
    assert films == sorted(loaded_rows(warehouse), key=lambda row: (-row.fans, -row.rating, row.title))[:10]


def test_titles_with_commas_quotes_and_no_year_survive():
    titles = {(row.title, row.year) for row in expected_rows()}
    assert {
        ("The Lantern Thief", 1978),
        ('"Hello," Said the Kettle', 2004),
        ("An Orchard of Small Machines", 1987),
        ("Último Faro, El", 2008),
        ("Untitled Harbour Film", None),
    } <= titles
