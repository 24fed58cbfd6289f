"""What is understood of statements: parameters, COPY, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.emulator.redshift import sql
from aerodrome.emulator.redshift.copying import CopyRefusedError, Load
from aerodrome.emulator.redshift.sql import ParameterError, Query

SOURCE = "from 's3://bucket/some/key' iam_role 'arn:aws:iam::1:role/R'"


def plan(text, **parameters):
    return sql.understand(text, parameters).plan


def refusal(text):
    found = plan(text)
    assert isinstance(found, CopyRefusedError), found
    return str(found)


def load(options, table="t"):
    found = plan(f"copy {table} {SOURCE} {options}")
    assert isinstance(found, Load), found
    return found


@pytest.mark.parametrize(
    "text",
    [
        "select 1", "select ':a', $$ :a; $$, a::int", "select 1;", " ;; ", "", "-- nothing",
        "with x as (select 1) select 2 ;",
        "create table t as select encode('a', 'hex')", "create view v as select 'distkey'", "select 'unfinished",
        'create table t ("encode" int)', "insert into t values ('begin')",
    ],
)  # fmt: skip
def test_any_other_statement_goes_to_postgresql_as_it_is(text):
    assert plan(text) == Query(text)


def test_parameters_become_numbers_where_they_stand_for_themselves():
    found = plan("select :b, ':a', :a::int, $x$ :a $x$, :a /* :a */ -- :b", a="1", b="2")
    assert found == Query("select $1, ':a', $2::int, $x$ :a $x$, $2 /* :a */ -- :b", ("2", "1"))


@pytest.mark.parametrize("text", ["select 1", "select ':a'", "select : a", 'select :"a"', "select a::a", "'open :a"])
def test_a_parameter_that_is_not_there_is_told(text):
    with pytest.raises(ParameterError):
        sql.understand(text, {"a": "1"})


@given(st.text(max_size=60), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
def test_any_text_is_understood_somehow(text, parameters):
    try:
        found = sql.understand(text, parameters)
    except ParameterError:
        return
    assert isinstance(found.plan, Query | Load | CopyRefusedError)


@given(
    st.lists(
        st.sampled_from(["copy", "t", "(", ")", ",", "from", "'s3://b/k'", "csv", "as", "'x'", "1", ".", "null", ";"])
    )
)
def test_no_heap_of_words_breaks_the_reading(words):
    sql.understand(" ".join(["copy", *words]), {})


def test_the_copy_of_the_notes():
    assert plan(
        "copy movie_demo from 's3://my-bucket/athena-results/join_athena_tables/1_clean.csv' "
        "iam_role 'arn:aws:iam::163919838948:role/myRedshiftRole' CSV IGNOREHEADER 1;"
    ) == Load(
        table=("movie_demo",),
        bucket="my-bucket",
        prefix="athena-results/join_athena_tables/1_clean.csv",
        is_csv=True,
        delimiter=",",
        header=1,
    )


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ("", {}),
        ("csv", {"is_csv": True, "delimiter": ","}),
        ("FORMAT AS CSV DELIMITER AS ';'", {"is_csv": True, "delimiter": ";"}),
        ("format csv quote as ''''", {"is_csv": True, "delimiter": ",", "quote": "'"}),
        ("delimiter '\\t' escape", {"delimiter": "\t", "is_escaped": True}),
        ("gzip ignoreheader as 2", {"compression": "gzip", "header": 2}),
        ("bzip2 ignoreblanklines", {"compression": "bzip2", "skips_blank_lines": True}),
        ("null as '' emptyasnull", {"null": "", "empty_is_null": True}),
        ("region 'eu-west-1' encoding utf8 dateformat 'auto' timeformat as 'auto'", {}),
        ("compupdate statupdate off compupdate preset comprows 5 maxerror 0 maxerror as 0", {}),
    ],
)
def test_options(options, changes):
    assert load(options) == Load(**{"table": ("t",), "bucket": "bucket", "prefix": "some/key", **changes})


@pytest.mark.parametrize(
    ("name", "table", "columns"),
    [
        ("Movies", ("movies",), ()),
        ('"Movies"', ("Movies",), ()),
        ('Public."T"', ("public", "T"), ()),
        ('t (a, "B c", d)', ("t",), ("a", "B c", "d")),
    ],
)
def test_names_are_folded_as_postgresql_folds_them(name, table, columns):
    found = load("csv", table=name)
    assert (found.table, found.columns) == (table, columns)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "copy t from 's3://b/k' with credentials as 'aws_iam_role=x' csv",
            "copy t from 's3://b/k' with credentials as '***' csv",
        ),
        ("copy t from 's3://b/k' credentials 'x' json 'auto'", "copy t from 's3://b/k' credentials '***' json 'auto'"),
        (
            "copy t from 's3://b/k' access_key_id 'A' secret_access_key AS 'B' session_token 'C' csv",
            "copy t from 's3://b/k' access_key_id '***' secret_access_key AS '***' session_token '***' csv",
        ),
        ("unload ('select 1') to 's3://b/k' credentials 'x'", "unload ('select 1') to 's3://b/k' credentials '***'"),
        (f"copy t {SOURCE} csv", f"copy t {SOURCE} csv"),
    ],
)  # fmt: skip
def test_keys_are_not_shown(text, shown):
    assert sql.understand(text, {}).shown == shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("json 'auto'", "the option JSON"), ("format parquet", "the format PARQUET"), ("lzop", "the option LZOP"),
        ("manifest", "the option MANIFEST"), ("noload", "the option NOLOAD"), ("fillrecord", "the option FILLRECORD"),
        ("acceptinvchars", "ACCEPTINVCHARS"), ("removequotes", "REMOVEQUOTES"), ("truncatecolumns", "TRUNCATECOLUMNS"),
        ("maxerror 5", "MAXERROR can only be 0"), ("dateformat 'YYYY'", "DATEFORMAT can only be 'auto'"),
        ("encoding utf16", "ENCODING can only be UTF8"), ("csv escape", "exclude each other"),
        ("delimiter '||'", "must be one character"), ("delimiter ''", "must be one character"),
        ("quote '\\'", "must be one character"), ("ignoreheader", "ends too early"),
        ("ignoreheader '1'", "whole number"),
        ("ignoreheader -1", "whole number"), ("'csv'", "where a word was expected"), ("gzip extra", "the option EXTRA"),
    ],
)  # fmt: skip
def test_options_that_are_not_understood(options, words):
    assert words in refusal(f"copy t {SOURCE} {options}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("copy", "ends too early"), ("copy t", "ends too early"), ("copy t from", "ends too early"),
        ("copy t from stdin", "a text in quotes is expected"), ("copy t to 's3://b/k'", "only a COPY from S3"),
        ("copy (select 1) to stdout", "where a name was expected"), ("copy t from '/etc/passwd'", "objects in S3"),
        ("copy t from program 'x'", "a text in quotes"), ("copy t from 's3://b'", "objects in S3"),
        ("copy t (a from 's3://b/k'", "does not end"), ("copy a.b.c from 's3://b/k'", "another database"),
        ("copy t from 's3://b/k'; select 1", "more than one statement"),
        ("select 1; ; select 2", "more than one statement"),
        ("begin", "BEGIN is not available"), ("Start transaction", "START is not available"),
        ("END", "END is not available"),
        ("/* x */ rollback", "ROLLBACK"), ("unload ('x') to 's3://b/k'", "UNLOAD is not available"),
        ("create table t (a int distkey)", "DISTKEY"), ("create temp table t (a int) diststyle all", "DISTSTYLE"),
        ("create table t (a int encode raw)", "ENCODE"), ("alter table t alter sortkey (a)", "SORTKEY"),
        ("create table t (a int) backup no", "BACKUP"),
    ],
)  # fmt: skip
def test_statements_that_are_refused(text, words):
    assert words in refusal(text)
