"""The maintenance window: what Aerodrome installs today replaces what an environment runs, and tasks end in peace."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from acceptance.test_updates import WAITING, put, watched
from product import BUCKET, LIMIT, Product, wait_for

NAME = "maintained"

pytestmark = pytest.mark.timeout(4 * LIMIT)


def pretend_that_the_lock_is_older(product: Product) -> None:
    """As after an update of Aerodrome that brought a newer lock for the same version."""
    password = (product.data / "keys" / "postgres").read_text().strip()
    host = str(product.data / "run" / "pg")
    with psycopg.connect(host=host, user="postgres", password=password, dbname="aerodrome") as ledger:
        ledger.execute(
            "UPDATE environment SET deployed = jsonb_set(deployed::jsonb, '{lock}', %s::jsonb) WHERE name = %s",
            (f'"{"0" * 64}"', NAME),
        )


def window_of(now: datetime) -> str:
    """A window that is open now."""
    return f"{now:%a}:{now:%H}:{'30' if now.minute >= 30 else '00'}".upper()


def test_a_newer_lock_is_applied_in_the_window_and_lets_tasks_end(product):
    product.put_dag("waiting_maintained", WAITING.format(bucket=BUCKET, dag="waiting_maintained"))
    product.create(NAME)
    product.wait_until(NAME, "AVAILABLE")
    run = product.trigger(NAME, "waiting_maintained")
    task = ("waiting_maintained", run, "wait")
    wait_for("the task runs", lambda: product.task(NAME, *task)["state"] == "running")
    product.update(NAME, WeeklyMaintenanceWindowStart=window_of(datetime.now(UTC)))
    product.wait_until(NAME, "AVAILABLE")

    before = product.environment(NAME)["revision"]
    with watched(product, NAME) as refusals:
        pretend_that_the_lock_is_older(product)
        wait_for("maintenance begins", lambda: product.get(NAME)["Status"] == "MAINTENANCE")
        found = product.wait_until(NAME, "AVAILABLE")
    assert refusals == []
    assert (found["LastUpdate"]["Source"], found["LastUpdate"]["Status"]) == ("maintenance", "SUCCESS")
    assert product.environment(NAME)["revision"] > before
    assert product.task(NAME, *task)["state"] == "running"
    put(product, "go/waiting_maintained", "")
    assert product.finished(NAME, "waiting_maintained", run) == "success"
    assert product.task(NAME, *task)["try_number"] == 1
    product.delete(NAME)
