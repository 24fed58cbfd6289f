"""A cell's last order is read back unchanged, and no other user can read it."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local import recorded_orders
from aerodrome.backends.local.paths import CellPaths
from aerodrome.model.orders import CellOrder, Keep, ServicesOrder
from aerodrome.model.release import Deployed

SERVICES = ServicesOrder(bucket_arn="b", dag_s3_path="dags", execution_role_arn="r", airflow_version="3.3.1", queue=1)
CELL = CellOrder(
    revision=3,
    deployed=Deployed(identifier="r", version="3.3.1", lock="l", content="c", cell=3, takes_over=True, database=2),
    options={"smtp.smtp_password": "hunter2"},
    web_access="PUBLIC_ONLY",
    tasks_per_worker=5,
    most_workers=10,
    workers=(1, 3),
    draining=(3,),
)

cells = st.builds(
    CellOrder,
    revision=st.integers(1),
    deployed=st.builds(
        Deployed,
        identifier=st.text(),
        version=st.text(),
        lock=st.text(),
        content=st.none() | st.text(),
        cell=st.integers(1),
        takes_over=st.booleans(),
        spread=st.booleans(),
        database=st.integers(1),
    ),
    options=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.text()),
    web_access=st.text(),
    tasks_per_worker=st.integers(),
    most_workers=st.integers(),
    workers=st.lists(st.integers()).map(tuple),
    draining=st.lists(st.integers()).map(tuple),
    schedulers=st.integers(),
    zones=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
    lead=st.integers(),
    without=st.lists(st.integers()).map(tuple),
    web_servers=st.integers(),
    keep=st.sampled_from(Keep),
    patience=st.floats(0, 1e6),
)
services = st.builds(
    ServicesOrder,
    bucket_arn=st.text(),
    dag_s3_path=st.text(),
    execution_role_arn=st.text(),
    airflow_version=st.text(),
    queue=st.integers(1),
    keep=st.sampled_from(Keep),
    patience=st.floats(0, 1e6),
)


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return CellPaths(tmp_path_factory.mktemp("cell"))


@given(cells | services)
def test_an_order_comes_back_equal(cell, order):
    recorded_orders.write(cell, order)
    assert recorded_orders.read(cell) == order


def test_options_may_be_any_mapping_and_no_other_user_reads_them(tmp_path):
    cell = CellPaths(tmp_path)
    recorded_orders.write(cell, replace(CELL, options=MappingProxyType(dict(CELL.options))))
    assert recorded_orders.read(cell) == CELL
    assert stat.S_IMODE(cell.order.stat().st_mode) == 0o600


def test_an_order_that_is_being_carried_out_is_nobodys(tmp_path):
    cell = CellPaths(tmp_path)
    recorded_orders.forget(cell)
    assert recorded_orders.read(cell) is None
    recorded_orders.write(cell, SERVICES)
    recorded_orders.forget(cell)
    assert recorded_orders.read(cell) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keep": "SOME"}', json.dumps({"keep": "ALL", "unheard": 1})])
def test_what_cannot_be_read_is_nobodys_order(tmp_path, text):
    cell = CellPaths(tmp_path)
    cell.order.write_text(text)
    assert recorded_orders.read(cell) is None
