"""The DAG of MWAA's own introduction, run as it is printed there.

What it names stands ready: a bucket, the other bucket in which its Athena tables look, and their Glue database. What it
downloads comes from a server of ours, to which the startup script's proxy settings lead.
"""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

import lines
from examples.movielens import archive
from gateway_client import Client
from product import wait_for

pytestmark = pytest.mark.timeout(900)  # an environment and a run of nine tasks; a busy machine needs minutes

FILE = Path(__file__).with_name("movie_list_dag.py")
AS_PRINTED = "13cde17f03c2b2dfc436aa4ddcc1641ad8e3109b4025f4f458c2de918aef2533"
"""SHA-256 of the file; whoever lays it out anew tests another DAG."""

DAG = "movie-list-dag"
TASKS = {
    "check_s3_for_key",
    "files_to_s3",
    "create_athena_movie_table",
    "create_athena_ratings_table",
    "create_athena_tags_table",
    "join_athena_tables",
    "create_redshift_table_if_not_exists",
    "clean_up_csv",
    "transfer_to_redshift",
}

BUCKET = "my-bucket"
TABLES = "pinwheeldemo1-pinwheeldagsbucketfeed0594-1bks69fq0utz"
DATABASE = "demo_athena_db"
REDSHIFT = {"ClusterIdentifier": "redshift-cluster-1", "Database": "dev"}
URL = "http://files.grouplens.org/datasets/movielens/ml-latest-small.zip"

OPTIONS = {"scheduler.catchup_by_default": "False", "core.max_active_runs_per_dag": "1"}
"""The DAG is due every ten minutes since two days ago. That would be 288 runs, sixteen at once."""


class Run(NamedTuple):
    """A run as `list_dag_runs` shows it."""

    state: str
    date: str


class Environment(NamedTuple):
    """Where the DAG has run."""

    client: Client
    run: Run
    """The first."""
    asked: list[str]
    """What was asked of the proxy."""


@contextmanager
def proxy(content: bytes) -> Iterator[tuple[str, list[str]]]:
    """Be the proxy that knows one URL and nothing else, on a free loopback port; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path != URL:
                self.send_error(HTTPStatus.BAD_GATEWAY)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def keys() -> dict[str, bytes]:
    """What the DAG makes of the archive: each member under its own name as folder."""
    with zipfile.ZipFile(BytesIO(archive.make("ml-latest-small"))) as packed:
        return {f"files/{name}/{name}": packed.read(name) for name in packed.namelist()}


def expected() -> Counter[tuple[str, int]]:
    """The rows of one run. Athena cuts a line at each comma, whatever is quoted, and whole numbers at the point."""
    titles = {}
    for line in keys()["files/ml-latest-small/movies.csv/ml-latest-small/movies.csv"].decode().splitlines()[1:]:
        movie, title, _ = line.split(",", 2)
        titles[int(movie)] = title.replace('"', "")
    return Counter((titles[rating.movie], int(rating.stars)) for rating in archive.ratings() if int(rating.stars) > 4)


@pytest.fixture(scope="module", params=lines.FIRST)
def environment(product, request):
    name = f"notes-{request.param.replace('.', '-')}"
    glue = product.session.client("glue", endpoint_url=product.exports["AWS_ENDPOINT_URL"])
    glue.create_database(DatabaseInput={"Name": DATABASE})
    product.make_bucket(BUCKET)
    product.s3.create_bucket(Bucket=TABLES)
    for key, content in keys().items():
        product.s3.put_object(Bucket=TABLES, Key=key, Body=content)
    product.s3.put_object(Bucket=BUCKET, Key="files/")
    product.s3.put_object(Bucket=BUCKET, Key="dags/movie_list_dag.py", Body=FILE.read_bytes())
    with proxy(archive.make("ml-latest-small")) as (address, asked):
        script = f"export http_proxy={address} no_proxy=127.0.0.1,localhost\n"
        product.s3.put_object(Bucket=BUCKET, Key="startup.sh", Body=script.encode())
        product.create(
            name,
            request.param,
            bucket=BUCKET,
            StartupScriptS3Path="startup.sh",
            AirflowConfigurationOptions=OPTIONS,
        )
        product.wait_until(name, "AVAILABLE")
        client = Client(product, name)
        wait_for("the DAG is listed", lambda: DAG in client.command("list_dags")[1].split())
        assert client.command(f"unpause {DAG}")[0] == 200
        run = wait_for("a run's end", lambda: next(iter(finished(client)), None))
        assert client.command(f"pause {DAG}")[0] == 200
        yield Environment(client, run, asked)
        product.delete(name)


def finished(client: Client) -> list[Run]:
    """The runs that have ended."""
    found = []
    for line in client.command(f"list_dag_runs {DAG}")[1].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[2] in {"success", "failed"}:
            found.append(Run(cells[2], cells[3]))
    return found


def test_the_file_is_the_one_that_was_printed():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == AS_PRINTED


def test_the_run_and_each_of_its_tasks_succeed(environment):
    command, run = environment.client.command, environment.run
    assert set(command(f"list_tasks {DAG}")[1].split()) >= TASKS
    states = {task: command(f"task_state {DAG} {task} {run.date}")[1].split()[-1] for task in TASKS}
    assert (run.state, states) == ("success", dict.fromkeys(TASKS, "success"))


def test_the_archive_came_through_the_proxy_into_the_bucket(product, environment):
    assert set(environment.asked) == {URL}
    for key, content in keys().items():
        assert product.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content


@pytest.mark.usefixtures("environment")
def test_the_best_ratings_are_in_redshift(product):
    """A second run may have come due and begun before the DAG was paused; each run adds all rows, or none."""
    redshift = product.session.client("redshift-data", endpoint_url=product.exports["AWS_ENDPOINT_URL"])

    def loaded() -> list[tuple[str, int]]:
        asked = redshift.execute_statement(**REDSHIFT, Sql="select title, rating from movie_demo")["Id"]
        wait_for("the answer", lambda: redshift.describe_statement(Id=asked)["Status"] == "FINISHED")
        records = redshift.get_statement_result(Id=asked)["Records"]
        return [(title["stringValue"], rating["longValue"]) for title, rating in records]

    rows = wait_for("rows", loaded)  # the DAG does not wait for what it starts
    runs, rest = divmod(len(rows), expected().total())
    assert (runs in {1, 2}, rest) == (True, 0)
    assert Counter(rows) == Counter({row: number * runs for row, number in expected().items()})
