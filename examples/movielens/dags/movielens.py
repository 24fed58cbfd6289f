"""Which films do people love? Fetch a MovieLens archive, query it with Athena, load the answer into a warehouse.

The pipeline waits for the landing folder of a bucket, fetches an archive over HTTP, declares its three CSV files as
Athena tables, joins them, tidies the result and loads it into PostgreSQL. The very same file runs on Airflow 2.11 and
Airflow 3. It holds no key and no password: AWS is reached as the environment's execution role, and the warehouse
through the Airflow connection `movie_warehouse`.

Every task may run again at any time: files are overwritten, tables declared anew, and the warehouse table is emptied
and filled in one transaction.
"""
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator"
# (Airflow is not installed where the control plane's code is checked.)

from __future__ import annotations

import csv
import io
import re
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import requests
from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.hooks.glue_catalog import GlueCatalogHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.common.compat.sdk import DAG, Param, task  # the same names on Airflow 2 and 3
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.postgres.hooks.postgres import PostgresHook

LANDING = "files/"
"""The folder of the bucket where the archive's files arrive; the pipeline waits until it exists."""

RESULTS = "athena-results/"
"""The folder of the bucket where Athena writes."""

WAREHOUSE = "movie_warehouse"
"""The Airflow connection (type `postgres`) of the warehouse."""

ARCHIVE_LIMIT = 64 * 1024 * 1024
"""Bytes, packed as well as unpacked; MovieLens' small archive is about 1 MB, so this is merely a guard."""

EXECUTION_ROLE = None
"""As an `aws_conn_id`: no Airflow connection, but the credentials that AWS's own lookup finds, those of the role."""

TABLES = {
    "movies": "movie_id int, title string, genres string",
    "ratings": "user_id int, movie_id int, rating double, rated_at bigint",
    "tags": "user_id int, movie_id int, tag string, tagged_at bigint",
}
"""The archive's files and the columns of each. Titles hold commas and quotes: the SerDe must know CSV's quoting."""

EXTERNAL_TABLE = """
CREATE EXTERNAL TABLE IF NOT EXISTS {{{{ params.database }}}}.{table} ({columns})
ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '"')
LOCATION 's3://{{{{ params.bucket }}}}/{landing}{table}/'
TBLPROPERTIES ('has_encrypted_data' = 'false', 'skip.header.line.count' = '1')
"""

JOIN = """
SELECT m.title, m.genres, r.fans, r.rating, t.tag
FROM {{ params.database }}.movies m
JOIN (
    SELECT movie_id, SUM(CASE WHEN rating > 4 THEN 1 ELSE 0 END) AS fans, ROUND(AVG(rating), 2) AS rating
    FROM {{ params.database }}.ratings
    GROUP BY movie_id
) r ON r.movie_id = m.movie_id
LEFT JOIN (
    SELECT movie_id, tag, ROW_NUMBER() OVER (PARTITION BY movie_id ORDER BY COUNT(*) DESC, tag) AS place
    FROM {{ params.database }}.tags
    GROUP BY movie_id, tag
) t ON t.movie_id = m.movie_id AND t.place = 1
WHERE r.fans > 0
"""
"""Each film that somebody rated above 4: how many did, its mean rating, and the tag it was given most often."""

WAREHOUSE_TABLE = """
CREATE TABLE IF NOT EXISTS movie_demo (
    title text NOT NULL,
    year integer,
    genres text NOT NULL,
    fans integer NOT NULL,
    rating numeric(3, 2) NOT NULL,
    tag text
)
"""

LOAD_ROW = "INSERT INTO movie_demo (title, year, genres, fans, rating, tag) VALUES (%s, %s, %s, %s, %s, %s)"

TOP_ROWS = (
    "SELECT title, year, genres, fans, rating, tag FROM movie_demo ORDER BY fans DESC, rating DESC, title LIMIT 10"
)

TITLE = re.compile(r"(?P<name>.+?)(, (?P<article>The|An?))?( \((?P<year>\d{4})\))?")
"""MovieLens' way to write a title: `Lantern Thief, The (1978)`."""


def tidy(row: dict[str, str]) -> tuple[Any, ...]:
    """Turn a row of Athena's result into a row of the warehouse: `The Lantern Thief`, 1978, `Drama, Mystery`."""
    match = TITLE.fullmatch(row["title"].strip())
    if match is None:
        raise ValueError(f"a film without a title in the result of the join: {row}")
    name, article, year = match["name"], match["article"], match["year"]
    title = f"{article} {name}" if article else name
    return title, year or "", row["genres"].replace("|", ", "), row["fans"], row["rating"], row["tag"]


@task
def files_to_s3(archive_url: str, bucket: str, database: str) -> list[str]:
    """Put each CSV file of the archive into a folder of its own, where its Athena table will look for it.

    The tables of an earlier run are forgotten, so that the next tasks declare them with today's columns and bucket.
    """
    response = requests.get(archive_url, timeout=60)
    response.raise_for_status()
    if len(response.content) > ARCHIVE_LIMIT:
        raise ValueError(f"the archive at {archive_url} is larger than {ARCHIVE_LIMIT} bytes")
    s3 = S3Hook(aws_conn_id=EXECUTION_ROLE)
    keys = []
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        members = {PurePosixPath(member.filename).stem: member for member in archive.infolist() if not member.is_dir()}
        for table in TABLES:
            if table not in members or members[table].file_size > ARCHIVE_LIMIT:
                raise ValueError(f"the archive at {archive_url} lacks a {table}.csv of at most {ARCHIVE_LIMIT} bytes")
            keys.append(f"{LANDING}{table}/{table}.csv")
            s3.load_bytes(archive.read(members[table]), keys[-1], bucket_name=bucket, replace=True)
    glue = GlueCatalogHook(aws_conn_id=EXECUTION_ROLE).get_conn()
    glue.batch_delete_table(DatabaseName=database, TablesToDelete=list(TABLES))
    return keys


@task
def clean_up_csv(query_id: str) -> str:
    """Tidy the result of the join; the clean file lies beside Athena's own, and its URL is returned."""
    s3 = S3Hook(aws_conn_id=EXECUTION_ROLE)
    url: str = AthenaHook(aws_conn_id=EXECUTION_ROLE).get_output_location(query_id)
    bucket, prefix = s3.parse_s3_url(url)
    # AWS puts the file exactly there; MiniStack 1.5 puts it one folder deeper, under the same name.
    key = next(found for found in s3.list_keys(bucket, prefix=prefix) if found.endswith(".csv"))
    clean = io.StringIO()
    csv.writer(clean).writerows(map(tidy, csv.DictReader(io.StringIO(s3.read_key(key, bucket)))))
    clean_key = prefix.removesuffix(".csv") + "_clean.csv"
    s3.load_string(clean.getvalue(), clean_key, bucket_name=bucket, replace=True)
    return f"s3://{bucket}/{clean_key}"


@task(multiple_outputs=True)
def load(clean_url: str) -> dict[str, Any]:
    """Replace the warehouse's rows by those of the clean file, or leave them all as they were.

    Returns `loaded`, the number of rows, and `top`, the ten best loved films.
    """
    bucket, key = S3Hook.parse_s3_url(clean_url)
    text = S3Hook(aws_conn_id=EXECUTION_ROLE).read_key(key, bucket)
    rows = [[value or None for value in row] for row in csv.reader(io.StringIO(text))]
    with closing(PostgresHook(postgres_conn_id=WAREHOUSE).get_conn()) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute("TRUNCATE movie_demo")
            cursor.executemany(LOAD_ROW, rows)
            cursor.execute(TOP_ROWS)
            names = [column[0] for column in cursor.description]
            top = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        connection.commit()
    return {"loaded": len(rows), "top": [{**row, "rating": float(row["rating"])} for row in top]}


def athena(task_id: str, query: str) -> AthenaOperator:
    """Make the task that runs `query`; its XCom is the query's id."""
    return AthenaOperator(
        task_id=task_id,
        query=query,
        database="{{ params.database }}",
        output_location=f"s3://{{{{ params.bucket }}}}/{RESULTS}{task_id}/",
        aws_conn_id=EXECUTION_ROLE,
        sleep_time=1,  # seconds between two looks at the query's state; the default of 30 suits large queries
    )


def athena_table(task_id: str, table: str) -> AthenaOperator:
    """Make the task that declares one file of the archive as an Athena table."""
    return athena(task_id, EXTERNAL_TABLE.format(table=table, columns=TABLES[table], landing=LANDING))


with DAG(
    dag_id="movielens",
    description="Which films do people love? S3, Athena and a PostgreSQL warehouse",
    doc_md=__doc__,
    schedule=None,  # started by hand: each run says which archive it wants
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # the tables and the warehouse are shared by all runs
    dagrun_timeout=timedelta(minutes=30),
    default_args={"owner": "airflow", "retries": 2, "retry_delay": timedelta(seconds=5)},
    params={
        "bucket": Param(type="string", pattern=r"^[a-z0-9][a-z0-9.\-]+$", description="The bucket to work in"),
        "archive_url": Param(type="string", pattern="^https?://", description="Where the zip archive is fetched from"),
        "database": Param("movielens", type="string", pattern="^[a-z_][a-z0-9_]*$", description="The Glue database"),
    },
    tags=["athena", "postgresql"],
) as dag:
    check_s3_for_key = S3KeySensor(
        task_id="check_s3_for_key",
        bucket_name="{{ params.bucket }}",
        bucket_key=f"{LANDING}*",
        wildcard_match=True,
        aws_conn_id=EXECUTION_ROLE,
        poke_interval=5,
        timeout=60,
    )
    files = files_to_s3("{{ params.archive_url }}", "{{ params.bucket }}", "{{ params.database }}")
    create_athena_movie_table = athena_table("create_athena_movie_table", "movies")
    create_athena_ratings_table = athena_table("create_athena_ratings_table", "ratings")
    create_athena_tags_table = athena_table("create_athena_tags_table", "tags")
    join_athena_tables = athena("join_athena_tables", JOIN)
    create_warehouse_table_if_not_exists = SQLExecuteQueryOperator(
        task_id="create_warehouse_table_if_not_exists", conn_id=WAREHOUSE, sql=WAREHOUSE_TABLE
    )
    clean_file = clean_up_csv(join_athena_tables.output)
    loaded = load(clean_file)

    check_s3_for_key >> files
    files >> [create_athena_movie_table, create_athena_ratings_table, create_athena_tags_table] >> join_athena_tables
    join_athena_tables >> clean_file >> loaded
    files >> create_warehouse_table_if_not_exists >> loaded
