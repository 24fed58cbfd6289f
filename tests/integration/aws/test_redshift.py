"""The Redshift Data API by unmodified boto3, on a real emulator and a real PostgreSQL."""

# ruff: noqa: S608 - names of tables that the tests have made up

from __future__ import annotations

import bz2
import gzip
import json
import secrets
import stat
import time

import psutil
import psycopg
import pytest
from botocore.exceptions import ClientError

from aerodrome.aws import clients
from aerodrome.aws.clients import Endpoint
from aerodrome.aws.credentials import Credentials
from aerodrome.emulator.redshift import warehouses
from aerodrome.services import clusters
from waiting import wait_for

ENDED = {"FINISHED", "FAILED", "ABORTED"}

ROLE = "arn:aws:iam::163919838948:role/myRedshiftRole"


@pytest.fixture(scope="module")
def redshift(warehouse_keeper):
    return warehouse_keeper.client()


@pytest.fixture(scope="module")
def s3(service):
    return service.client("s3")


@pytest.fixture(scope="module")
def bucket(s3):
    name = f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def table():
    return f"t_{secrets.token_hex(4)}"


class Statement:
    """One that was submitted."""

    def __init__(self, redshift, submitted):
        self.redshift = redshift
        self.id = submitted["Id"]

    def state(self):
        return self.redshift.describe_statement(Id=self.id)

    def ended(self):
        return wait_for("its end", lambda: (found := self.state())["Status"] in ENDED and found)

    def rows(self):
        pages = self.redshift.get_paginator("get_statement_result").paginate(Id=self.id)
        records = [record for page in pages for record in page["Records"]]
        return [[None if "isNull" in field else next(iter(field.values())) for field in record] for record in records]


def submit(redshift, sql, *, cluster="redshift-cluster-1", database="dev", **more):
    where = {} if "WorkgroupName" in more else {"ClusterIdentifier": cluster, "DbUser": "awsuser"}
    return Statement(redshift, redshift.execute_statement(Database=database, Sql=sql, **where, **more))


def run(redshift, sql, **more):
    """The statement, once it has ended well."""
    statement = submit(redshift, sql, **more)
    found = statement.ended()
    assert found["Status"] == "FINISHED", found["Error"]
    return statement


def fail(redshift, sql, **more):
    """The sentence with which it fails."""
    found = submit(redshift, sql, **more).ended()
    assert found["Status"] == "FAILED"
    return found["Error"]


def test_the_workflow_of_the_notes(redshift, s3, bucket, table):
    run(redshift, f"CREATE TABLE IF NOT EXISTS {table} (title\tcharacter varying, rating\tint);")
    key = "athena-results/join_athena_tables/1234_clean.csv"
    s3.put_object(Bucket=bucket, Key=key, Body=b'"title","rating"\n"Toy Story (1995)","5"\n"Heat, ""1995""","5"\n')
    copy = f"copy {table} from 's3://{bucket}/{key}' iam_role '{ROLE}' CSV IGNOREHEADER 1;"
    loaded = run(redshift, copy).state()

    assert loaded["ResultRows"] == 2
    assert loaded["QueryString"] == copy
    assert not loaded["HasResultSet"]
    found = run(redshift, f"select title, rating from {table} order by title")
    assert found.rows() == [['Heat, "1995"', 5], ["Toy Story (1995)", 5]]


def test_what_an_answer_tells_is_what_boto3_expects(redshift):
    submitted = redshift.execute_statement(
        ClusterIdentifier="redshift-cluster-1", Database="dev", DbUser="awsuser", Sql="select 1 as one"
    )
    assert {name: submitted[name] for name in ("ClusterIdentifier", "Database", "DbUser")} == {
        "ClusterIdentifier": "redshift-cluster-1",
        "Database": "dev",
        "DbUser": "awsuser",
    }
    state = Statement(redshift, submitted).ended()
    assert state["CreatedAt"] == submitted["CreatedAt"]
    assert state["UpdatedAt"] >= state["CreatedAt"]
    assert state["Duration"] > 0
    assert (state["HasResultSet"], state["ResultRows"]) == (True, 1)
    assert state["ResultSize"] > 0
    assert state["RedshiftPid"] > 0


def test_values_come_by_kind_and_columns_are_described(redshift):
    statement = run(
        redshift,
        """
        select true as b, 7::smallint as i, 2^40::bigint as big, 1.5::float8 as f, 1.50::numeric(5,2) as n,
            'é'::varchar(10) as v, null::int as nothing, date '2026-11-25' as d, 'NaN'::float8 as nan,
            '\\x00ff'::bytea as raw
        """.replace("2^40::bigint", "1099511627776"),
    )
    answer = redshift.get_statement_result(Id=statement.id)
    assert answer["Records"] == [
        [
            {"booleanValue": True},
            {"longValue": 7},
            {"longValue": 1099511627776},
            {"doubleValue": 1.5},
            {"stringValue": "1.50"},
            {"stringValue": "é"},
            {"isNull": True},
            {"stringValue": "2026-11-25"},
            {"stringValue": "NaN"},
            {"blobValue": b"\x00\xff"},
        ]
    ]
    columns = {column["name"]: column for column in answer["ColumnMetadata"]}
    assert (columns["n"]["typeName"], columns["n"]["precision"], columns["n"]["scale"]) == ("numeric", 5, 2)
    assert (columns["v"]["typeName"], columns["v"]["length"]) == ("varchar", 10)
    assert answer["TotalNumRows"] == 1


def test_a_long_result_comes_in_pages(redshift):
    statement = run(redshift, "select n, repeat('x', 100) from generate_series(1, 2500) n")
    first = redshift.get_statement_result(Id=statement.id)
    assert first["TotalNumRows"] == 2500
    assert len(first["Records"]) < 2500
    assert [row[0] for row in statement.rows()] == list(range(1, 2501))
    with pytest.raises(ClientError, match="NextToken"):
        redshift.get_statement_result(Id=statement.id, NextToken="99")


def test_parameters_are_values_and_nothing_else(redshift):
    hostile = "x'; drop table t; --"
    statement = run(
        redshift,
        "select :name::text, ':name', :number::int + 1, :name::text || 'é'",
        Parameters=[{"name": "name", "value": hostile}, {"name": "number", "value": "41"}],
    )
    assert statement.rows() == [[hostile, ":name", 42, hostile + "é"]]
    assert statement.state()["QueryParameters"][1] == {"name": "number", "value": "41"}
    with pytest.raises(ClientError, match="no parameter :missing"):
        submit(redshift, "select 1", Parameters=[{"name": "missing", "value": "1"}])


def test_changed_rows_are_counted(redshift, table):
    run(redshift, f"create table {table} (i int)")
    assert run(redshift, f"insert into {table} select generate_series(1, 3)").state()["ResultRows"] == 3
    assert run(redshift, f"update {table} set i = i + 1 where i > 1").state()["ResultRows"] == 2
    assert run(redshift, f"insert into {table} values (9) returning i").rows() == [[9]]


def test_an_error_says_what_postgresql_says(redshift):
    assert fail(redshift, "select * from nowhere") == 'ERROR: relation "nowhere" does not exist\n  Position: 15'
    assert "syntax error" in fail(redshift, "selct 1")
    assert "unterminated" in fail(redshift, "select 'x")
    statement = submit(redshift, "select * from nowhere")
    statement.ended()
    with pytest.raises(redshift.exceptions.ResourceNotFoundException, match="does not have result"):
        redshift.get_statement_result(Id=statement.id)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("create table x (i int distkey)", "DISTKEY is a word of Redshift's own"),
        ("create table x (i int encode az64) sortkey (i)", "ENCODE is a word of Redshift's own"),
        ("begin", "BEGIN is not available here"),
        ("select 1; select 2", "more than one statement"),
        ("unload ('select 1') to 's3://b/k' iam_role default", "UNLOAD is not available here"),
        ("copy t from 's3://b/k' iam_role default json 'auto'", "the option JSON is not understood here"),
        ("copy t from 's3://b/k' iam_role default maxerror 10", "MAXERROR can only be 0 here"),
        ("copy t from 's3://no-such-bucket/k' iam_role default csv", 'relation "t" does not exist'),
        ("copy t to stdout", "only a COPY from S3"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_sentence(redshift, sql, words):
    assert words in fail(redshift, sql)


def test_a_batch_is_one_transaction(redshift, table):
    def batch(*sqls, **more):
        submitted = redshift.batch_execute_statement(ClusterIdentifier="one", Database="dev", Sqls=sqls, **more)
        return Statement(redshift, submitted)

    good = batch(f"create table {table} (i int)", f"insert into {table} values (1)", f"select i from {table}")
    state = good.ended()
    assert (state["Status"], state["HasResultSet"]) == ("FINISHED", True)
    assert [each["Status"] for each in state["SubStatements"]] == ["FINISHED"] * 3
    assert [each["HasResultSet"] for each in state["SubStatements"]] == [False, False, True]
    last = Statement(redshift, {"Id": state["SubStatements"][2]["Id"]})
    assert last.rows() == [[1]]
    assert last.state()["QueryString"] == f"select i from {table}"

    bad = batch(f"insert into {table} values (2)", "select nothing", f"insert into {table} values (3)").ended()
    assert bad["Status"] == "FAILED"
    assert bad["Error"].startswith('Query #2 failed with ERROR: column "nothing" does not exist')
    assert [each["Status"] for each in bad["SubStatements"]] == ["FINISHED", "FAILED", "ABORTED"]
    assert run(redshift, f"select i from {table}", cluster="one").rows() == [[1]]

    each = batch(f"insert into {table} values (4)", "select nothing", ExecutionMode="AUTO_COMMIT").ended()
    assert each["Status"] == "FAILED"
    assert run(redshift, f"select i from {table} order by i", cluster="one").rows() == [[1], [4]]


def test_a_statement_that_runs_can_be_cancelled(redshift):
    statement = submit(redshift, "select pg_sleep(600)")
    deadline = time.monotonic() + 30
    while statement.state()["Status"] != "STARTED":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert redshift.cancel_statement(Id=statement.id)["Status"] is True
    assert statement.ended()["Status"] == "ABORTED"
    with pytest.raises(redshift.exceptions.ValidationException, match="already in ABORTED state"):
        redshift.cancel_statement(Id=statement.id)


def test_a_procedure_that_will_not_be_cancelled_is_ended(redshift):
    stubborn = """
        do $$ begin loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$
    """
    statement = submit(redshift, stubborn, cluster="stubborn")
    deadline = time.monotonic() + 30
    while statement.state()["Status"] != "STARTED":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    redshift.cancel_statement(Id=statement.id)
    assert statement.ended()["Status"] == "ABORTED"
    count = "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and query like '%exception when%'"
    assert run(redshift, count, cluster="stubborn").rows() == [[0]]


def test_who_cannot_be_served_at_once_waits_and_one_database_takes_not_all_places(redshift):
    busy = [submit(redshift, "select pg_sleep(600)", cluster="busy") for _ in range(6)]
    other = run(redshift, "select 1", cluster="idle")
    assert other.rows() == [[1]]
    assert "SUBMITTED" in {each.state()["Status"] for each in busy}
    for each in reversed(busy):
        redshift.cancel_statement(Id=each.id)
    assert {each.ended()["Status"] for each in busy} == {"ABORTED"}


def test_a_result_without_end_is_not_kept_nor_the_emulator_filled(service, redshift):
    before = psutil.Process(service.pid).memory_info().rss
    assert "larger than" in fail(redshift, "select repeat('x', 1000) from generate_series(1, 1000000)")
    assert "larger than" in fail(redshift, "select repeat('x', 900000000)")
    assert psutil.Process(service.pid).memory_info().rss - before < 300 * 2**20
    assert run(redshift, "select 1").rows() == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "create role intruder superuser",
        "create database other",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "select lo_import('/etc/passwd')",
        "do $$ begin execute 'copy (select 1) to program ''true'''; end $$",
        "do $$ begin execute 'create table passwd (t text); copy passwd from ''/etc/passwd'''; end $$",
        "select * from pg_authid",
        "alter system set max_connections = 1",
        "create extension dblink",
        "load 'plpgsql_check'",
    ],
)
def test_a_statement_may_do_nothing_outside_its_database(redshift, sql):
    error = fail(redshift, sql)
    assert any(words in error for words in ("permission denied", "must be", "is not a", "is not allowed"))


def test_a_raw_copy_by_a_way_that_is_not_seen_does_not_hang(redshift):
    """Only PostgreSQL sees that the comment ends, for it counts the comments within."""
    assert "COPY" in fail(redshift, "/* /* */ select 1 */ copy (select 1) to stdout")


def test_each_pair_of_cluster_and_database_is_a_database_of_its_own(redshift, warehouse_keeper, table):
    places = [
        {"cluster": "one", "database": "dev"},
        {"cluster": "two", "database": "dev"},
        {"cluster": "one", "database": "prod"},
        {"WorkgroupName": "one", "database": "dev"},
    ]
    for place in places:
        run(redshift, f"create table {table} (i int)", **place)  # it is there in none of the others
    roles = [run(redshift, "select current_user, current_database()", **place).rows()[0] for place in places]
    assert len({role for role, _ in roles}) == len(places)
    assert all(role == database and role.startswith(warehouses.PREFIX) for role, database in roles)
    listed = redshift.list_databases(ClusterIdentifier="one", Database="dev")["Databases"]
    assert listed == ["dev", "prod"]
    own, other = roles[0][0], roles[1][0]
    notes = [json.loads(file.read_text()) for file in warehouse_keeper.folder.glob("*.json")]
    password = next(note["password"] for note in notes if note["name"] == own)
    for database in (other, "postgres"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(warehouse_keeper.cluster.dsn(database, own, password))


def test_the_way_in_is_told_to_nobody_but_by_files_of_ours(service, redshift, warehouse_keeper):
    run(redshift, "select 1")
    files = [path for path in warehouse_keeper.folder.rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    process = psutil.Process(service.pid)
    shown = " ".join([*process.cmdline(), *process.environ().values()])
    assert not any(json.loads(file.read_text())["password"] in shown for file in warehouse_keeper.folder.glob("*.json"))
    log = (service.folder / "emulator.log").read_text()
    assert "password" not in log


def test_a_role_that_locks_itself_out_is_let_in_again(redshift):
    where = {"cluster": "locked", "database": "dev"}
    run(redshift, "do $$ begin execute format('alter role %I password ''mine''', current_user); end $$", **where)
    assert run(redshift, "select 1", **where).rows() == [[1]]


def test_there_is_a_most_of_databases(own_keeper, monkeypatch):
    monkeypatch.setattr(warehouses, "MOST", 1)
    redshift = own_keeper.client()
    run(redshift, "select 1", cluster="first")
    assert "there can be no more" in fail(redshift, "select 1", cluster="second")
    assert run(redshift, "select 2", cluster="first").rows() == [[2]]
    assert [path.suffix for path in own_keeper.folder.rglob("*") if path.is_file()] == [".json"]


def test_a_database_that_is_there_needs_no_keeper_and_survives_the_emulator(own_keeper, table):
    redshift = own_keeper.client()
    run(redshift, f"create table {table} as select 7 as i")
    own_keeper.keeping.clear()
    lost = submit(redshift, "select pg_sleep(600)")
    own_keeper.service.kill()
    own_keeper.service.start()
    assert run(redshift, f"select i from {table}").rows() == [[7]]
    with pytest.raises(redshift.exceptions.ResourceNotFoundException, match="Query does not exist"):
        lost.state()
    waiting = submit(redshift, "select 1", cluster="not-yet-there")
    assert waiting.state()["Status"] == "SUBMITTED"
    own_keeper.keeping.set()
    assert waiting.ended()["Status"] == "FINISHED"


def test_what_a_dead_emulator_was_doing_ends(own_keeper, cluster):
    redshift = own_keeper.client()
    statement = submit(redshift, "select pg_sleep(600)")
    while statement.state()["Status"] != "STARTED":
        time.sleep(0.02)
    pid = statement.state()["RedshiftPid"]
    own_keeper.service.kill()

    def is_gone():
        with clusters.connect(cluster) as connection:
            return not connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall()

    deadline = time.monotonic() + 60
    while not is_gone():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    own_keeper.service.start()


def test_an_orderly_stop_ends_what_runs_without_delay(own_keeper, cluster):
    redshift = own_keeper.client()
    statement = submit(redshift, "select pg_sleep(600)")
    while statement.state()["Status"] != "STARTED":
        time.sleep(0.02)
    pid = statement.state()["RedshiftPid"]
    process = psutil.Process(own_keeper.service.pid)
    process.terminate()
    process.wait(8)
    with clusters.connect(cluster) as connection:
        assert not connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall()
    own_keeper.service.start()


def test_the_same_token_is_the_same_statement(redshift, table):
    run(redshift, f"create table {table} (i int)")
    token = secrets.token_hex(8)
    first, second = (submit(redshift, f"insert into {table} values (1)", ClientToken=token) for _ in range(2))
    assert first.id == second.id
    first.ended()
    assert run(redshift, f"select count(*) from {table}").rows() == [[1]]
    with pytest.raises(ClientError, match="ClientToken"):
        submit(redshift, "select 2", ClientToken=token)


def test_a_caller_lists_its_own_statements(service, redshift):
    key = Credentials(access_key_id="ASIA" + secrets.token_hex(6).upper(), secret_access_key="x")
    other = clients.client(
        Endpoint(region="us-east-1", url=service.described.address.url, credentials=key), "redshift-data"
    )
    name = secrets.token_hex(4)
    ids = [run(redshift, f"select {number}", StatementName=f"{name}-{number}").id for number in range(3)]
    fail(redshift, "select nothing", StatementName=f"{name}-bad")
    listed = redshift.list_statements(StatementName=name, Status="FINISHED")["Statements"]
    assert [each["Id"] for each in listed] == ids[::-1]
    assert listed[0]["QueryString"] == "select 2"
    pages = redshift.get_paginator("list_statements").paginate(StatementName=name, PaginationConfig={"PageSize": 2})
    assert [len(page["Statements"]) for page in pages] == [2, 2]
    assert other.list_statements(StatementName=name)["Statements"] == []


def test_schemas_and_tables_are_listed(redshift, table):
    where = {"ClusterIdentifier": "listed", "Database": "dev"}
    assert redshift.list_tables(**where)["Tables"] == []  # and none is made for that
    assert redshift.list_databases(**where)["Databases"] == []
    run(redshift, f"create table {table} (i int)", cluster="listed")
    run(redshift, "create schema reports", cluster="listed")
    run(redshift, f"create view reports.{table}_v as select * from {table}", cluster="listed")
    found = redshift.list_tables(**where, TablePattern=f"{table}%")["Tables"]
    assert [(each["schema"], each["name"], each["type"]) for each in found] == [
        ("public", table, "TABLE"),
        ("reports", f"{table}_v", "VIEW"),
    ]
    assert redshift.list_schemas(**where, SchemaPattern="r%")["Schemas"] == ["reports"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ClusterIdentifier": None}, "either ClusterIdentifier or WorkgroupName"),
        ({"WorkgroupName": "both"}, "either ClusterIdentifier or WorkgroupName"),
        ({"Database": None}, "Database is missing"),
        ({"ClusterIdentifier": "Not Valid"}, "is not of the form"),
        ({"Sql": "select 1" + " " * 110_000}, "longer than"),
        ({"Sql": "select '\0'"}, "cannot hold"),
        ({"WithEvent": True}, "WithEvent is not offered"),
        ({"SessionKeepAliveSeconds": 60}, "SessionKeepAliveSeconds is not offered"),
        ({"ResultFormat": "CSV"}, "ResultFormat is not offered"),
        ({"Parameters": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}, "given twice"),
    ],
)
def test_what_a_request_may_not_ask_for_is_told_at_once(redshift, change, words):
    request = {"ClusterIdentifier": "one", "Database": "dev", "Sql": "select 1", **change}
    with pytest.raises(redshift.exceptions.ValidationException, match=words):
        redshift.execute_statement(**{name: value for name, value in request.items() if value is not None})


def test_operations_that_are_not_offered_say_so(redshift):
    with pytest.raises(redshift.exceptions.ValidationException, match="DescribeTable is not offered"):
        redshift.describe_table(ClusterIdentifier="one", Database="dev", Table="t")


def test_an_unknown_statement_is_not_found(redshift):
    unknown = "00000000-0000-4000-8000-000000000000"
    for operation in (redshift.describe_statement, redshift.get_statement_result, redshift.cancel_statement):
        with pytest.raises(redshift.exceptions.ResourceNotFoundException, match="Query does not exist"):
            operation(Id=unknown)


class TestCopy:
    """Objects become rows as Redshift reads them."""

    @pytest.fixture
    def load(self, redshift, s3, bucket, table):
        """Puts objects, loads them, and gives what the table then holds; or the sentence of the failure."""
        run(redshift, f"create table {table} (a varchar, b int, c varchar)")

        def loaded(objects, options, *, columns="", is_good=True):
            for key, body in objects.items():
                s3.put_object(Bucket=bucket, Key=f"{table}/{key}", Body=body)
            sql = f"copy {table} {columns} from 's3://{bucket}/{table}/' iam_role default {options}"
            if not is_good:
                return fail(redshift, sql).replace(f"s3://{bucket}/{table}/", "")
            run(redshift, sql)
            return run(redshift, f"select a, b, c from {table} order by a, b").rows()

        return loaded

    def test_a_prefix_names_many_objects(self, load):
        objects = {"1.csv": b"a,1,x\n", "2.csv": b"b,2,y", "3/deep.csv": b"c,3,z\r\n"}
        assert load(objects, "csv") == [["a", 1, "x"], ["b", 2, "y"], ["c", 3, "z"]]

    def test_each_object_has_its_header(self, load):
        objects = {"1": b"h,h,h\na,1,x\n", "2": b"h,h,h\nb,2,y\n"}
        assert load(objects, "ignoreheader as 1 csv") == [["a", 1, "x"], ["b", 2, "y"]]

    @pytest.mark.parametrize(("pack", "word"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2")])
    def test_packed_objects(self, load, pack, word):
        assert load({"1": pack(b"h\na|1|x\nb|2|y\n")}, f"{word} ignoreheader 1") == [["a", 1, "x"], ["b", 2, "y"]]

    def test_more_headers_than_lines(self, load):
        assert load({"1": b"a|1|x\n"}, "ignoreheader 999999999") == []

    def test_empty_fields_are_null_but_for_texts(self, load):
        assert load({"1": b"a,,\n"}, "csv") == [["a", None, ""]]

    def test_empty_texts_are_null_when_that_is_asked_for(self, load):
        assert load({"1": b"a,,\n"}, "csv emptyasnull") == [["a", None, None]]

    def test_a_word_for_null(self, load):
        objects = {"1": b"a|1|\\N\nb|\\N|x\n"}
        assert load(objects, "") == [["a", 1, None], ["b", None, "x"]]

    def test_a_word_of_ones_own_for_null(self, load):
        assert load({"1": b"a|-|-\n"}, "null as '-'") == [["a", None, None]]

    def test_quotes_belong_to_csv_alone(self, load):
        assert load({"1": b'"a"|1|"x\n'}, "") == [['"a"', 1, '"x']]

    def test_fields_with_line_ends_and_other_quotes(self, load):
        body = "'a,\nb',1,'it''s é'\n".encode()
        assert load({"1": body}, "csv quote as ''''") == [["a,\nb", 1, "it's é"]]

    def test_escapes(self, load):
        assert load({"1": b"a\\|b\t1\tx\n"}, "delimiter '\\t' escape") == [["a|b", 1, "x"]]

    def test_columns_in_another_order(self, load):
        assert load({"1": b"1,a\n"}, "csv", columns="(b, a)") == [["a", 1, None]]

    def test_a_row_that_cannot_be_loaded_is_named_and_nothing_is_loaded(self, load):
        objects = {"1": b"a,1,x\n", "2": b"h,h,h\nb,two,y\n"}
        error = load(objects, "csv", is_good=False)
        assert error == 'ERROR: invalid input syntax for type integer: "h" (2, row 1, column b: "h")'

    def test_too_many_fields(self, load):
        assert (
            load({"1": b"a,1,x\na,1,x,9\n"}, "csv", is_good=False)
            == "ERROR: 1, line 2: 4 fields, and 3 columns to fill"
        )

    def test_bytes_that_are_no_text(self, load):
        assert "1, behind line" in load({"1": b"a,1,\xff\n"}, "csv", is_good=False)

    def test_what_is_not_packed(self, load):
        assert "1, behind line 0: Not a gzipped file" in load({"1": b"a,1,x\n"}, "csv gzip", is_good=False)

    def test_no_object(self, load):
        assert "does not exist in the bucket" in load({}, "csv", is_good=False)

    def test_an_unknown_column(self, load):
        assert 'column "nope"' in load({"1": b"1\n"}, "csv", columns="(nope)", is_good=False)

    def test_keys_are_shown_to_nobody(self, redshift, bucket):
        secret = "aws_access_key_id=AKIAEXAMPLE;aws_secret_access_key=verysecret"
        statement = submit(redshift, f"copy nowhere from 's3://{bucket}/x' credentials '{secret}' csv")
        state = statement.ended()
        assert state["QueryString"] == f"copy nowhere from 's3://{bucket}/x' credentials '***' csv"
        assert "verysecret" not in json.dumps(redshift.list_statements(), default=str)

    def test_a_batch_loads_and_undoes_it(self, redshift, s3, bucket, table):
        s3.put_object(Bucket=bucket, Key=f"{table}/x", Body=b"1\n2\n")
        copy = f"copy {table} from 's3://{bucket}/{table}/' iam_role default csv"
        run(redshift, f"create table {table} (i int)")
        batch = redshift.batch_execute_statement(
            ClusterIdentifier="redshift-cluster-1", Database="dev", Sqls=[copy, "select nothing"]
        )
        assert Statement(redshift, batch).ended()["Status"] == "FAILED"
        assert run(redshift, f"select count(*) from {table}").rows() == [[0]]
