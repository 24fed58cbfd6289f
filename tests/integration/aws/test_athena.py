"""Athena as Airflow's operators use it: a Glue database, external tables over CSV, a join, a result file in S3."""

from __future__ import annotations

import csv
import io
import secrets
import time

import pytest

MOVIES = b"movieId,title\n1,Toy Story\n2,Heat\n"
RATINGS = b"userId,movieId,rating\n7,1,4.0\n8,1,5.0\n7,2,3.0\n"

JOIN = """
    SELECT m.title, avg(r.rating) AS rating FROM {database}.movies m
    JOIN {database}.ratings r ON m.movieId = r.movieId GROUP BY m.title ORDER BY rating DESC
"""


@pytest.fixture
def athena(service):
    return service.client("athena")


@pytest.fixture
def bucket(service) -> str:
    name = f"bucket-{secrets.token_hex(4)}"
    service.client("s3").create_bucket(Bucket=name)
    return name


def run(athena, bucket: str, query: str, database: str = "default") -> dict:
    started = athena.start_query_execution(
        QueryString=query,
        QueryExecutionContext={"Database": database},
        ResultConfiguration={"OutputLocation": f"s3://{bucket}/results/"},
    )
    return finished(athena, started["QueryExecutionId"])


def finished(athena, identifier: str) -> dict:
    deadline = time.monotonic() + 60
    while True:
        execution = athena.get_query_execution(QueryExecutionId=identifier)["QueryExecution"]
        if execution["Status"]["State"] not in {"QUEUED", "RUNNING"}:
            return execution
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_join_of_two_tables_is_in_the_output_location(service, athena, bucket):
    s3, database = service.client("s3"), f"db_{secrets.token_hex(4)}"
    service.client("glue").create_database(DatabaseInput={"Name": database})
    for name, body, columns in (
        ("movies", MOVIES, "`movieId` int, `title` string"),
        ("ratings", RATINGS, "`userId` int, `movieId` int, `rating` float"),
    ):
        s3.put_object(Bucket=bucket, Key=f"{name}/{name}.csv", Body=body)
        created = run(
            athena,
            bucket,
            f"""CREATE EXTERNAL TABLE IF NOT EXISTS {database.upper()}.{name.title()} ({columns})
            ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe'
            WITH SERDEPROPERTIES ('serialization.format' = ',', 'field.delim' = ',')
            LOCATION 's3://{bucket}/{name}/' TBLPROPERTIES ('skip.header.line.count' = '1')""",
            database,
        )
        assert created["Status"]["State"] == "SUCCEEDED", created["Status"]

    joined = run(athena, bucket, JOIN.format(database=database), database)
    assert joined["Status"]["State"] == "SUCCEEDED", joined["Status"]
    output = joined["ResultConfiguration"]["OutputLocation"]
    assert output == f"s3://{bucket}/results/{joined['QueryExecutionId']}.csv"
    body = s3.get_object(Bucket=bucket, Key=output.removeprefix(f"s3://{bucket}/"))["Body"].read().decode()
    assert list(csv.reader(io.StringIO(body))) == [["title", "rating"], ["Toy Story", "4.5"], ["Heat", "3.0"]]
    assert list((service.folder / "tmp").glob("ministack-athena-*")) == []


def test_a_whole_number_in_a_text_file_ends_at_its_point(service, athena, bucket):
    s3, database = service.client("s3"), f"db_{secrets.token_hex(4)}"
    service.client("glue").create_database(DatabaseInput={"Name": database})
    written = ["4.5", "-4.5", "4.", "7", "seven"]
    lines = "".join(f"{text},{text},{text}\n" for text in written)
    s3.put_object(Bucket=bucket, Key="numbers/numbers.csv", Body=lines.encode())
    run(
        athena,
        bucket,
        f"""CREATE EXTERNAL TABLE {database}.numbers (`small` tinyint, `large` bigint, `fraction` double)
        ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' LOCATION 's3://{bucket}/numbers/'""",
        database,
    )
    found = run(athena, bucket, "SELECT * FROM numbers", database)
    assert found["Status"]["State"] == "SUCCEEDED", found["Status"]
    rows = athena.get_query_results(QueryExecutionId=found["QueryExecutionId"])["ResultSet"]["Rows"][1:]
    values = [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]
    whole = ["4", "-4", "4", "7", None]
    assert values == [list(row) for row in zip(whole, whole, ["4.5", "-4.5", "4.0", "7.0", None], strict=True)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_text('{folder}/emulator.log')",
        "COPY (SELECT 1) TO '{folder}/trace.csv'",
        "SELECT * FROM glob('/*')",
        "ATTACH '{folder}/trace.db' AS trace",
        "INSTALL httpfs",
    ],
)
def test_sql_sees_no_file_outside_of_the_emulator(service, athena, bucket, query):
    found = run(athena, bucket, query.format(folder=service.folder))
    assert found["Status"]["State"] == "FAILED"
    assert not list(service.folder.glob("trace*.csv")) + list(service.folder.glob("trace.db"))


@pytest.mark.parametrize("end", ["", "/"])
def test_the_result_lies_where_athena_says(service, athena, bucket, end):
    started = athena.start_query_execution(
        QueryString="SELECT 1 AS one", ResultConfiguration={"OutputLocation": f"s3://{bucket}/some/results{end}"}
    )
    identifier = started["QueryExecutionId"]
    found = finished(athena, identifier)
    assert found["ResultConfiguration"]["OutputLocation"] == f"s3://{bucket}/some/results/{identifier}.csv"
    keys = [one["Key"] for one in service.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"some/results/{identifier}.csv", f"some/results/{identifier}.csv.metadata"]


def test_a_wrong_query_fails_with_the_reason(athena, bucket):
    found = run(athena, bucket, "SELECT nothing FROM nowhere")
    assert found["Status"]["State"] == "FAILED"
    assert "nowhere" in found["Status"]["StateChangeReason"]
