"""A real browser, Debian's Chromium, and an environment of each Airflow line for it to open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from browsing import Airflow
from product import BUCKET, Product, Shared, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

DAG = """
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.empty import EmptyOperator
except ImportError:
    from airflow.operators.empty import EmptyOperator

with DAG("{name}", start_date=datetime(2024, 1, 1), schedule=None):
    EmptyOperator(task_id="only")
"""


@pytest.fixture(scope="module")
def airflow(product: Product, shared_environment: Shared) -> Iterator[Airflow]:
    """An environment in which the DAG is listed and not paused."""
    found = Airflow(product, shared_environment.name, shared_environment.version)
    product.put_dag(found.dag, DAG.format(name=found.dag))
    wait_for("the DAG is listed", lambda: product.listed(found.name, found.dag))
    product.rest(found.name, "PATCH", f"/dags/{found.dag}", {"is_paused": False})
    yield found
    product.s3.delete_object(Bucket=BUCKET, Key=f"dags/{found.dag}.py")


@pytest.fixture(scope="module")  # while it runs, no other test may have an event loop
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    # As root, as in a container, Chromium refuses its own sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab without a past. The local CA is not in this browser's store."""
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1400, "height": 900})
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def bare_page(page: Page) -> Page:
    """For what Airflow's UI has no part in: to load and draw it would take seconds of a processor."""
    page.route("**/static/**", lambda route: route.abort())
    return page
