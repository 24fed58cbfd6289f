"""Airflow's UI in a real browser, opened by a web login token: what a person of each role sees and may do."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Response, expect

import lines
from browsing import Airflow
from product import wait_for

FORBIDDEN = 403

ONE = pytest.mark.parametrize("shared_environment", lines.ONE, indirect=True)
"""For what the gateway does, in one way for every line."""


def opened(page: Page, link: str) -> str:
    """Follow a login link; returns the address of the web server."""
    page.goto(link)
    page.wait_for_url(re.compile(r"https://[^/]+/(home)?$"))
    return page.url.removesuffix("home").removesuffix("/")


def trigger(page: Page, airflow: Airflow, server: str) -> Response:
    """Press Airflow's own buttons that start a run; returns what the server answered to the last."""
    if airflow.is_line_3:
        page.goto(f"{server}/dags/{airflow.dag}")
        page.get_by_role("button", name="Trigger Dag").click()
        with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
            page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
        return posted.value
    page.goto(f"{server}/dags/{airflow.dag}/grid")
    with page.expect_response(lambda answer: answer.request.method == "POST") as posted:
        page.get_by_role("link", name="Trigger DAG").click()
    return posted.value


def test_an_admin_triggers_a_dag(page, airflow):
    server = opened(page, airflow.link(airflow.product.mwaa))
    before = airflow.runs()
    assert trigger(page, airflow, server).status < FORBIDDEN
    wait_for("the run is there", lambda: airflow.runs() == before + 1)


@pytest.mark.parametrize("shared_environment", lines.ALIKE, indirect=True)  # what roles may: acceptance/airflow/
def test_a_viewer_sees_the_dag_and_is_refused_to_trigger_it(page, airflow):
    viewer = airflow.client_of("Viewer")
    server = opened(page, airflow.link(viewer))
    before = airflow.runs()
    page.goto(f"{server}/dags/{airflow.dag}/grid" if not airflow.is_line_3 else f"{server}/dags/{airflow.dag}")
    expect(page.get_by_text(airflow.dag).first).to_be_visible()
    answer = page.evaluate(TRIGGER, f"/api/v{2 if airflow.is_line_3 else 1}/dags/{airflow.dag}/dagRuns")
    assert answer == FORBIDDEN
    if airflow.is_line_3:
        assert trigger(page, airflow, server).status == FORBIDDEN
    assert airflow.runs() == before


TRIGGER = """async path => (await fetch(path, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({})
})).status"""
"""What a page's script can do with the session of the person who looks at it."""


def test_the_menu_shows_who_is_logged_in_and_logs_out(page, airflow):
    server = opened(page, airflow.link(airflow.product.mwaa))
    if airflow.is_line_3:
        assert page.evaluate("async () => (await (await fetch('/ui/auth/me')).json()).username") == "user/administrator"
        page.get_by_role("button", name="User").click()
        page.get_by_role("menuitem", name="Logout").click()
        page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    else:
        icon = page.locator(".navbar-user-icon")
        expect(icon).to_have_attribute("title", re.compile("user/administrator"))
        icon.hover()
        page.get_by_role("button", name="Log Out").click()
    page.wait_for_url(re.compile("/aws_mwaa/logout"))
    page.goto(server)
    expect(page.locator("body")).to_contain_text("create-web-login-token")


@ONE
def test_a_link_works_once(bare_page, airflow, browser):
    link = airflow.link(airflow.product.mwaa)
    opened(bare_page, link)
    again = browser.new_context(ignore_https_errors=True)
    other = again.new_page()
    with other.expect_response(re.compile("/aws_mwaa/login")) as posted:
        other.goto(link)
    assert posted.value.status in {401, FORBIDDEN}
    again.close()


@ONE
@pytest.mark.parametrize("path", ["/execution/health", "/auth/token", "/api/v2/../../execution/health"])
def test_what_is_not_for_people_is_not_reached_from_a_page(bare_page, airflow, path):
    server = opened(bare_page, airflow.link(airflow.product.mwaa))
    assert bare_page.evaluate("async url => (await fetch(url)).status", f"{server}{path}") in {400, 404}
