"""The command line's decisions and words: findings, variables, tables."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from aerodrome import errors
from aerodrome.cli import check_run, environment_variables, main, rendering
from aerodrome.cli.doctor import Level, MachineFacts, judge
from aerodrome.model.limits import Enforcement
from aerodrome.settings import Settings

WELL = MachineFacts(
    interpreters={"3.12": "/usr/bin/python3.12", "3.11": "/usr/bin/python3.11"},
    airflow_of={"3.12": ("3.3.1", "2.11.2"), "3.11": ("2.10.3",)},
    busy_ports={},
    running=False,
    domain="us-east-1.airflow.localhost",
    domain_known=True,
    disk_free=100 * 2**30,
    memory_free=16 * 2**30,
    open_files=65536,
    processes=None,
    redis=True,
    is_root=False,
    hides_secrets=False,
    limits=Enforcement(version=2, kinds=frozenset({"pids", "memory", "cpu"}), machine=2**34, processors=2),
    data=Path("/data"),
)


def drawn(renderable, width=200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_a_well_machine_has_nothing_to_fix():
    assert {(each.level, each.fix) for each in judge(WELL)} == {(Level.OK, "")}


@pytest.mark.parametrize(
    ("change", "subject", "level", "fix"),
    [
        ({"interpreters": {"3.12": None}}, "Python 3.12", Level.FAIL, "AERODROME_PYTHON_FOLDERS"),
        ({"is_root": True}, "user", Level.WARN, "CAP_SYS_ADMIN"),
        ({"interpreters": {"3.11": None}}, "Python 3.11", Level.WARN, "uv python install 3.11"),
        ({"busy_ports": {"AERODROME_PORT": 4560}}, "ports", Level.FAIL, "AERODROME_PORT"),
        ({"busy_ports": {"AERODROME_GATEWAY_PUBLIC": 4562}}, "ports", Level.FAIL, "AERODROME_GATEWAY_PUBLIC"),
        ({"domain_known": False}, "host names", Level.WARN, "libnss-myhostname"),
        ({"domain_known": False, "domain": "airflow.example.com"}, "host names", Level.WARN, "*.airflow.example.com"),
        ({"disk_free": 2**30}, "disk", Level.WARN, "AERODROME_DATA"),
        ({"memory_free": 2**30}, "memory", Level.WARN, "mw1.micro"),
        ({"open_files": 256}, "open files", Level.WARN, "ulimit -n"),
        ({"processes": 100}, "processes", Level.WARN, "ulimit -u"),
        ({"redis": False}, "Redis", Level.FAIL, "AERODROME_REDIS_URL"),
    ],
)
def test_each_finding_says_its_fix(change, subject, level, fix):
    [found] = [each for each in judge(replace(WELL, **change)) if each.level is not Level.OK]
    assert (found.subject, found.level) == (subject, level)
    assert fix in found.fix
    assert subject in drawn(rendering.findings([found]))


def test_ports_held_by_ourselves_are_no_finding():
    found = judge(replace(WELL, busy_ports={"AERODROME_PORT": 4560}, running=True))
    assert all(each.level is Level.OK for each in found)


def test_exports_reach_the_endpoint_without_host_prefixes():
    variables = environment_variables.exports(Settings(), 4560)
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4560"
    assert variables["AWS_DISABLE_HOST_PREFIX_INJECTION"] == "true"
    assert variables["AWS_PROFILE"] == "aerodrome"
    assert variables["AWS_SHARED_CREDENTIALS_FILE"] == str(Settings().paths.credentials)
    assert not any("SECRET" in name for name in variables)


def test_the_shell_forgets_keys_that_would_count_more_than_the_profile():
    lines = environment_variables.as_shell(environment_variables.exports(Settings(), 4560)).splitlines()
    assert lines[0] == "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN"
    assert all(line.startswith("export ") for line in lines[1:])


def test_with_the_real_aws_only_mwaa_is_redirected_and_no_key_is_invented():
    variables = environment_variables.exports(Settings(aws_endpoint_url="aws"), 4560)
    assert "AWS_ENDPOINT_URL" not in variables
    assert variables["AWS_ENDPOINT_URL_MWAA"] == "http://127.0.0.1:4560"
    assert not any("KEY" in name for name in variables)


def test_shell_lines_survive_any_value():
    line = environment_variables.as_shell({"NAME": "it's $HOME; rm"})
    assert shlex.split(line) == ["export", "NAME=it's $HOME; rm"]


def test_status_shows_what_an_environment_is_doing():
    progress = {"phase": "install", "detail": "Installing Airflow.", "fraction": 0.5, "phases": []}
    environment = {
        "name": "mine",
        "airflow_version": "3.3.1",
        "class": "mw1.small",
        "status": "CREATING",
        "units": [{"name": "redis", "state": "starting"}],
        "progress": progress,
        "failure": None,
        "hibernation": {"rest": "AWAKE"},
    }
    document = {
        "api": "http://127.0.0.1:4560",
        "uids": "30000-31999",
        "primed": ["3.3.1"],
        "services": [{"name": "PostgreSQL", "state": "running"}],
        "troubles": [],
        "environments": [environment],
    }
    shown = drawn(rendering.status(document))
    assert "install 50%: Installing Airflow." in shown
    assert "0/1 ready" in shown
    gib = 2**30
    given = {"memory": gib, "memory_of_class": 4 * gib, "processors": 1, "processors_of_class": 2}
    clipped = {**document, "environments": [{**environment, "worker_limits": given}]}
    assert "(1 of 2 vCPUs, 1.0 of 4 GiB a worker)" in drawn(rendering.status(clipped))
    failure = {"code": "UNIT_FAILED", "message": "The web ended."}
    failed = {**environment, "status": "CREATE_FAILED", "failure": failure}
    assert "UNIT_FAILED: The web ended." in drawn(rendering.status({**document, "environments": [failed]}))
    asleep = {
        **environment,
        "status": "AVAILABLE",
        "hibernation": {"rest": "HIBERNATED"},
        "progress": {**progress, "detail": "Hibernated: no run is due."},
    }
    sleeping = drawn(rendering.status({**document, "environments": [asleep]}))
    assert "hibernated" in sleeping
    assert "AVAILABLE" not in sleeping
    assert "no run is due" in sleeping
    assert "No environment yet" in drawn(rendering.status({**document, "environments": []}))
    troubled = drawn(rendering.status({**document, "environments": [], "troubles": ["The disk is full. Free it."]}))
    assert "The disk is full. Free it." in troubled
    assert "No environment yet" not in troubled  # nobody knows


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_table_of_events_loses_no_word(width):
    happened = {
        "at": "2026-11-24T03:51:02+00:00",
        "kind": "API_REQUEST",
        "environment": "quickstart-3-3",
        "principal": "arn:aws:iam::000000000000:user/administrator",
        "action": "iam:PutRolePolicy",
        "resource": "arn:aws:iam::000000000000:role/quickstart-3-3-execution",
        "allowed": True,
        "detail": None,
    }
    narrow, wide = (sorted("".join(drawn(rendering.events([happened]), each).split())) for each in (width, 400))
    assert narrow == wide


def test_a_wrong_setting_is_named(monkeypatch):
    monkeypatch.setenv("AERODROME_PORT", "many")
    result = CliRunner().invoke(main.app, ["status"])
    assert result.exit_code == 1
    assert "AERODROME_PORT" in result.output


def test_without_a_control_plane_the_fix_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("AERODROME_DATA", str(tmp_path))
    result = CliRunner().invoke(main.app, ["status"])
    assert result.exit_code == 1
    assert "aerodrome up" in result.output


def test_check_passes_the_variables_that_it_is_told_to():
    assert check_run.passed(["A", "B=2", "C="], {"A": "1", "D": "4"}) == {"A": "1", "B": "2", "C": ""}
    for wrong in ("E", "=1"):
        with pytest.raises(errors.CallerError, match="--env"):
            check_run.passed([wrong], {"A": "1"})


def test_a_machine_without_disk_images_is_told_what_it_does_not_limit():
    without = replace(WELL.limits, disk_trouble="the kernel mounts no image")
    [found] = [each for each in judge(replace(WELL, limits=without)) if each.level is not Level.OK]
    assert (found.subject, found.level) == ("disks of environments", Level.WARN)
    assert "not limited: temporary files" in found.found
    assert "/dev/loop-control" in found.fix


def test_a_machine_without_control_groups_is_told_what_it_does_not_limit():
    without = Enforcement(version=None, reason="we may not change /x", machine=2**34, processors=2)
    [found] = [each for each in judge(replace(WELL, limits=without)) if each.level is not Level.OK]
    assert (found.subject, found.level) == ("limits", Level.WARN)
    assert "not limited: processes, CPU time, CPU weight" in found.found
    assert "Delegate=yes" in found.fix
