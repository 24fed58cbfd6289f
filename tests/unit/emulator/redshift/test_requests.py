"""Requests by the model and beyond it, pages of lists, and answers whose members the model knows."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import service_models
from aerodrome.emulator.redshift import operations, requests, shown, wire
from aerodrome.emulator.redshift.results import PAGE_ROWS, Result
from aerodrome.emulator.redshift.sql import understand
from aerodrome.emulator.redshift.statement import Statement, StatementStatus, SubStatement
from aerodrome.emulator.redshift.warehouses import Access, Warehouse
from aerodrome.emulator.redshift.wire import ServiceError

EXECUTE = wire.operation("RedshiftData.ExecuteStatement")


def read(**members):
    return wire.read(EXECUTE, json.dumps(members).encode())


def test_a_request_is_what_the_model_knows_of_it():
    assert read(Sql="select 1", Database=None, Unknown=1) == {"Sql": "select 1"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "Missing required parameter"),
        ({"Sql": 1}, "Invalid type"),
        ({"Sql": "x", "ClusterIdentifier": "no_underscores"}, "is not of the form"),
        ({"Sql": "x", "ClusterIdentifier": "x" * 64}, "63 characters"),
        ({"Sql": "x", "ResultFormat": "XML"}, "must be one of JSON, CSV"),
        ({"Sql": "x", "WaitTimeSeconds": 31}, "may be 30"),
        ({"Sql": "x", "Parameters": [{"name": "a"}]}, "Missing required parameter"),
        ({"Sql": "x", "Parameters": {}}, "Invalid type"),
    ],
)
def test_what_the_model_forbids_is_refused(members, words):
    with pytest.raises(ServiceError, match=words) as refused:
        read(**members)
    assert refused.value.code == "ValidationException"


@given(st.binary(max_size=50))
def test_no_body_breaks_the_reading(body):
    with contextlib.suppress(ServiceError):
        assert isinstance(wire.read(EXECUTE, body), dict)


@pytest.mark.parametrize(
    "target", ["", "RedshiftData", "RedshiftData.", "RedshiftData.Nothing", "AmazonAthena.ExecuteStatement"]
)
def test_other_targets_are_no_operation(target):
    with pytest.raises(ServiceError, match="no operation"):
        wire.operation(target)


def test_every_operation_on_offer_is_the_models():
    assert set(operations.OPERATIONS) <= set(service_models.of(wire.SERVICE).operation_names)


@pytest.mark.parametrize("text", ["a\0", "a\ud800"])
def test_characters_that_postgresql_cannot_hold(text):
    for given_, texts in (({"Database": text}, []), ({}, [text])):
        with pytest.raises(ServiceError, match="cannot hold"):
            requests.check(given_, texts)


def test_names_of_databases_are_folded_and_workgroups_are_no_clusters():
    cluster = requests.warehouse({"ClusterIdentifier": "one", "Database": "Dev"})
    assert cluster == requests.warehouse({"ClusterIdentifier": "one", "Database": "dev"})
    assert cluster != requests.warehouse({"WorkgroupName": "one", "Database": "dev"})


@given(st.integers(0, 30), st.integers(1, 7))
def test_pages_are_the_list(count, size):
    found, token = [], None
    while True:
        page, token = requests.page(range(count), {"NextToken": token, "MaxResults": size})
        assert len(page) <= size
        found += page
        if token is None:
            break
    assert found == list(range(count))


@given(st.text(max_size=8))
def test_a_token_is_one_of_ours_or_refused(token):
    with contextlib.suppress(ServiceError):
        assert 0 <= requests.number(token, 100) <= 100


def test_waiting_makes_no_other_request():
    same = {"Sql": "x", "ClientToken": "t"}
    assert requests.fingerprint(same) == requests.fingerprint({**same, "WaitTimeSeconds": 5})
    assert requests.fingerprint(same) != requests.fingerprint({**same, "Sql": "y"})


def test_a_result_is_kept_in_pages():
    result = Result([])
    for number in range(PAGE_ROWS + 1):
        result.add([{"longValue": number}])
    result.close()
    assert [len(json.loads(page)) for page in result.pages] == [PAGE_ROWS, 1]
    assert result.rows == PAGE_ROWS + 1
    empty = Result([])
    empty.close()
    assert empty.pages == [b"[]"]


def statement(*texts, given=None):
    warehouse = Warehouse(endpoint="cluster/one", database="dev")
    parts = tuple(SubStatement(understood=understand(text, {})) for text in texts)
    return Statement(
        identifier="00000000-0000-4000-8000-000000000000", warehouse=warehouse, caller="AKIA", given=given or {},
        parts=parts, is_batch=len(parts) > 1, is_transaction=len(parts) > 1,
    )  # fmt: skip


@pytest.mark.parametrize("texts", [["select 1"], ["select 1", "select 2"]])
def test_what_is_shown_has_members_of_the_model_only(texts):
    each = statement(*texts, given={"Database": "dev", "ClusterIdentifier": "one"})
    each.course.begin()
    each.course.end(StatementStatus.FAILED, "ERROR: x")
    described = shown.described(each, None, each.identifier)
    output = wire.operation("RedshiftData.DescribeStatement").output_shape
    assert set(described) <= set(output.members)
    if len(texts) > 1:
        assert set(described["SubStatements"][0]) <= set(output.members["SubStatements"].member.members)
    rows = wire.operation("RedshiftData.ListStatements").output_shape.members["Statements"].member
    assert set(shown.listed(each)) <= set(rows.members)
    document = json.loads(wire.success(wire.operation("RedshiftData.DescribeStatement"), described))
    assert document["Status"] == "FAILED"
    assert isinstance(document["CreatedAt"], float)
    assert "SecretArn" not in document


def test_times_are_seconds():
    shape = wire.operation("RedshiftData.ExecuteStatement")
    document = json.loads(wire.success(shape, {"CreatedAt": datetime(2026, 11, 25, tzinfo=UTC), "Id": "x"}))
    assert document == {"CreatedAt": 1795564800.0, "Id": "x"}


def test_a_way_in_survives_its_text_and_shows_no_password():
    access = Access(
        warehouse=Warehouse(endpoint="cluster/one", database="dev"),
        host="/run/pg",
        port=5432,
        name="redshift_1",
        password="hunter2",
        options=(("sslmode", "require"),),
    )
    assert Access.of(access.text()) == access
    assert "hunter2" not in repr(access)


@given(st.text(), st.text())
def test_the_names_of_files_are_of_one_form(endpoint, database):
    key = Warehouse(endpoint=endpoint, database=database).key
    assert len(key) == 24
    assert key.isalnum()
    assert key != Warehouse(endpoint=endpoint + "x", database=database).key
