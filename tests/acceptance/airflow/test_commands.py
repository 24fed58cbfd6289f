"""Airflow's command line in a real cell: by a fork of the nursery, as MWAA's clients use it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import aerodrome.cell
import lines
from aerodrome.airflow import commands, preloading, units, versions
from aerodrome.backends.local import cell_client
from aerodrome.backends.local import commands as runner
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.errors import CallerError

WARM = Path(aerodrome.cell.__file__).with_name("warm.py")

DAG = """
from datetime import datetime
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow import DAG
    from airflow.operators.python import PythonOperator

with DAG("commanded", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonOperator(task_id="t", python_callable=lambda: print("the task ran"))
"""

DAG_1 = """
from datetime import datetime
from airflow import DAG
from airflow.operators.python_operator import PythonOperator

with DAG("commanded", start_date=datetime(2024, 1, 1), schedule_interval=None, catchup=False) as dag:
    PythonOperator(task_id="t", python_callable=lambda: print("the task ran"))
"""
"""The same for Airflow 1.10."""


class Cell:
    """A cell with a web server and a nursery, and commands in it."""

    def __init__(self, context, paths):
        self.context = context
        self.paths = paths
        self.version = versions.lookup(context.version)

    def environment(self):
        config = self.context.airflow_home / units.CONTROL
        return units.environment(self.context, component="webserver", config=config)

    def run(self, text, *, timeout=120.0):
        return runner.run(self.paths, self.paths.services, commands.parse(self.version, text), timeout=timeout)

    def succeed(self, text):
        result = self.run(text)
        assert result.exit_code == 0, result.stdout.decode() + result.stderr.decode()
        return result.stdout.decode()


def specification(context, paths):
    adapter = versions.lookup(context.version).adapter
    web = next(unit for unit in adapter.units(context) if unit["name"] == units.WEB)
    prelude = {"name": "nursery", "how": "fork", "umask": 0o077, "log": str(context.unit_logs / "nursery.log")}
    return {
        "environment": context.name,
        "socket": str(paths.services.socket),
        "state": str(paths.services.state),
        "pid_file": str(paths.services.pid_file),
        "log": str(context.unit_logs / "cell.log"),
        "units": [web],
        "prelude": {**units.prelude(context), **prelude},
    }


def end(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)


@contextlib.contextmanager
def started(context, wait_for):
    """A cell, from its warm process to its orderly end."""
    (context.dags / "commanded.py").write_text(DAG_1 if context.version.startswith("1.") else DAG)
    paths = EnvironmentPaths(context.airflow_home.parent, context.run)
    paths.services.config.touch(mode=0o600)
    paths.services.config.write_text(json.dumps(specification(context, paths)))
    command = [str(context.interpreter), "-I", str(WARM), "--cell", str(paths.services.config)]
    command += ["--modules", str(preloading.file(context.version)), "--log", str(context.unit_logs / "warm.log")]
    process = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", "HOME": "/"}, start_new_session=True)

    def ready():
        assert process.poll() is None
        status = cell_client.ask(paths.services.socket, {"op": "status"}, seconds=60)
        return status is not None and status["units"][0]["state"] == "ready"

    try:
        wait_for("a ready web server", ready, limit=120)
        yield Cell(context, paths)
        cell_client.ask(paths.services.socket, {"op": "shutdown"})
        assert process.wait(60) == 0
    finally:
        end(process.pid)


@pytest.fixture(scope="module", params=lines.WITH_REST)
def cell(request, make_context, make_keys, wait_for):
    with started(make_context(request.param, make_keys()), wait_for) as running:
        yield running


@pytest.fixture(scope="module", params=lines.FIRST)
def first(request, make_context, make_keys, wait_for):
    """A cell of Airflow 1.10, whose commands have other names."""
    with started(make_context(request.param, make_keys()), wait_for) as running:
        yield running


def test_version_is_told_in_a_fraction_of_a_cold_start(cell):
    arguments = [str(cell.context.interpreter), "-m", "airflow", "version"]
    environment = cell.environment()
    cold, warm = [], []
    for _ in range(2):
        begun = time.monotonic()
        subprocess.run(arguments, env=environment, check=True, capture_output=True)
        cold.append(time.monotonic() - begun)
        begun = time.monotonic()
        assert cell.succeed("version").strip() == cell.context.version
        warm.append(time.monotonic() - begun)
    assert min(warm) <= 0.25 * min(cold), (cold, warm)


def test_variables_and_connections_are_written_and_read(cell):
    cell.succeed("""variables set greeting '{"hello": "w\u00f6rld"}'""")
    assert json.loads(cell.succeed("variables get greeting")) == {"hello": "w\u00f6rld"}
    cell.succeed("connections add web1 --conn-uri http://user:pa55word@example.org/")
    cell.succeed("connections delete web1")
    cell.succeed("variables delete greeting")
    missing = cell.run("variables get greeting")
    assert missing.exit_code == 1
    assert b"greeting" in missing.stderr + missing.stdout


def test_a_dag_is_parsed_listed_triggered_and_deleted(cell):
    cell.succeed("dags reserialize")
    result = cell.run("dags list -o json")
    listed = json.loads(result.stdout)
    assert result.stderr == b""
    assert "commanded" in [dag["dag_id"] for dag in listed]
    cell.succeed("dags unpause commanded")
    cell.succeed("""dags trigger commanded --conf '{"a": 1}' --run-id first""")
    option = "" if cell.version.line == 3 else "-d "
    runs = json.loads(cell.succeed(f"dags list-runs {option}commanded -o json"))
    assert [run["run_id"] for run in runs] == ["first"]
    cell.succeed("dags delete commanded --yes")
    cell.succeed("dags reserialize")


def test_a_task_is_tested_in_the_commands_process(cell):
    result = cell.run("tasks test commanded t 2024-01-01")
    assert result.exit_code == 0, result.stderr.decode()
    assert b"the task ran" in result.stdout + result.stderr


def test_a_command_that_wants_a_confirmation_fails_and_says_what_to_do(cell):
    before = "--clean-before-timestamp 2024-01-01"
    result = cell.run(f"db clean {before}")
    assert result.exit_code == 1
    assert b"--yes" in result.stderr.splitlines()[-1]
    cell.succeed(f"db clean {before} --yes")


def test_wrong_arguments_are_explained_by_airflows_own_parser(cell):
    result = cell.run("dags trigger")
    assert result.exit_code == 2
    assert b"dag_id" in result.stderr
    assert cell.run("dags pause --help").exit_code == 0


def test_time_is_up(cell):
    result = cell.run("version", timeout=0.001)
    assert result.exit_code == 137
    assert b"was stopped" in result.stderr


def test_several_run_at_once_and_leave_no_file(cell):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(cell.run, [f"variables set key{number} {number}" for number in range(4)]))
    assert [result.exit_code for result in results] == [0] * 4, results
    assert not list(cell.paths.run.glob(".command-*"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(cell.succeed, [f"variables get key{number}" for number in range(4)]))
    assert [text.strip() for text in found] == ["0", "1", "2", "3"]


def test_no_word_of_a_command_reaches_a_log_of_the_cell_or_a_command_line(cell):
    cell.succeed("variables set ordinary sesame-4711")
    logs = "".join(path.read_text() for path in cell.context.unit_logs.iterdir())
    assert "sesame-4711" not in logs
    assert "run ended" in logs


def test_a_changed_configuration_is_obeyed_by_the_next_command(cell):
    """The nursery holds the old configuration, so the command starts anew. It keeps its words, and nobody sees them."""
    shared = cell.context.airflow_home / units.SHARED
    text = shared.read_text()
    try:
        shared.write_text(text + "\n# changed\n")
        # Airflow 3.2 logs there what Alembic sets up, once for each process that imports it.
        assert cell.succeed("variables get --default 'a b' nothing").splitlines()[-1] == "a b"
    finally:
        shared.write_text(text)


COMMANDS = """
import json, sys, warnings
warnings.simplefilter("ignore")
from airflow.cli.cli_config import GroupCommand
from airflow.cli.cli_parser import ALL_COMMANDS_DICT
def walk(command, path):
    if isinstance(command, GroupCommand):
        for one in command.subcommands:
            yield from walk(one, path + [one.name])
    else:
        yield " ".join(path), [flag for argument in command.args for flag in argument.flags if flag.startswith("-")]
json.dump(dict(pair for name, one in ALL_COMMANDS_DICT.items() for pair in walk(one, [name])), sys.stdout)
"""


def told_by(cell, program):
    """The JSON that a program prints under the cell's Airflow, in its last line."""
    done = subprocess.run(
        [str(cell.context.interpreter), "-W", "ignore", "-c", program],
        env=cell.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def known(cell):
    """Every command of this Airflow with the names of its options."""
    return told_by(cell, COMMANDS)


def test_every_allowed_command_exists(cell, known):
    assert set(commands.ALLOWED[cell.version.line]) <= set(known)


def test_every_option_that_names_a_file_or_another_program_is_refused(cell, known):
    refused = {option.long for option in vars(commands).values() if isinstance(option, commands.Option)}
    for name in commands.ALLOWED[cell.version.line]:
        for flag in set(known[name]) & refused:
            with pytest.raises(CallerError, match=flag):
                commands.parse(cell.version, f"{name} {flag}=x")


def test_no_refused_option_stands_for_nothing(cell, known):
    for name, options in commands.ALLOWED[cell.version.line].items():
        for option in options:
            assert option.long in known[name], name
            assert not option.short or "-" + option.short in known[name], name


def test_1_10_tells_its_version_in_a_fraction_of_a_cold_start(first):
    arguments = [str(first.context.interpreter), str(first.context.interpreter.with_name("airflow")), "version"]
    cold, warm = [], []
    for _ in range(2):
        begun = time.monotonic()
        subprocess.run(arguments, env=first.environment(), check=True, capture_output=True)
        cold.append(time.monotonic() - begun)
        begun = time.monotonic()
        assert first.succeed("version").strip() == first.context.version
        warm.append(time.monotonic() - begun)
    assert min(warm) <= 0.25 * min(cold), (cold, warm)


def test_1_10_writes_and_reads_variables_and_pools(first):
    first.succeed("""variables -s greeting '{"hello": "w\u00f6rld"}'""")
    assert json.loads(first.succeed("variables -g greeting").splitlines()[-1]) == {"hello": "w\u00f6rld"}
    first.succeed("variables -x greeting")
    assert "greeting" not in first.succeed("variables list")
    assert "slim" in first.succeed("pool -s slim 3 'a small one'")
    assert "slim" in first.succeed("pool -g slim")
    first.succeed("pool -x slim")


def test_1_10_parses_lists_tests_triggers_and_deletes_a_dag(first):
    assert "commanded" in first.succeed("list_dags").split()
    assert "t" in first.succeed("list_tasks commanded").split()
    assert "the task ran" in first.succeed("test commanded t 2024-01-01")
    refused = first.run("trigger_dag commanded")
    assert refused.exit_code == 1  # no scheduler runs here that would have told the database of it
    assert b"commanded" in refused.stderr


def test_1_10_asks_nobody_for_a_confirmation(first):
    result = first.run("delete_dag nothing")
    assert result.exit_code == 1
    assert b"--yes" in result.stderr.splitlines()[-1]


def test_1_10_explains_wrong_arguments_itself(first):
    result = first.run("trigger_dag")
    assert result.exit_code == 2
    assert b"dag_id" in result.stderr


COMMANDS_1 = """
import argparse, json, sys, warnings
warnings.simplefilter("ignore")
from airflow.bin.cli import CLIFactory
def below(parser):
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}
def options(parser):
    return [flag for action in parser._actions for flag in action.option_strings]
commands = below(CLIFactory.get_parser())
json.dump({name: [options(one), sorted(below(one))] for name, one in commands.items()}, sys.stdout)
"""


@pytest.fixture(scope="module")
def known_1(first):
    """Every command of this Airflow with the names of its options, and of the commands below it."""
    return told_by(first, COMMANDS_1)


def test_1_10_has_every_allowed_command_and_no_unknown_way_around(first, known_1):
    allowed = commands.ALLOWED[1]
    assert set(allowed) <= set(known_1)
    assert {name for name in allowed if known_1[name][1]} == {"variables"}
    assert known_1["variables"][1] == ["delete", "export", "get", "import", "list", "set"]
    for name, options in allowed.items():
        flags = known_1[name][0]
        for option in options:
            words = [option.long, *(["-" + option.short] if option.short else [])]
            assert set(words) <= {*flags, *known_1[name][1]}, name
            for word in words:
                with pytest.raises(CallerError, match=option.long):
                    commands.parse(first.version, f"{name} {word} x")


def test_1_10_options_that_are_allowed_are_understood_as_such(first, known_1):
    """No short name is refused for being the beginning of another's."""
    for name, options in commands.ALLOWED[1].items():
        refused = {word for option in options for word in (option.long, "-" + option.short)}
        for flag in set(known_1[name][0]) - refused:
            assert commands.parse(first.version, f"{name} {flag}") == [name, flag]


def test_1_10_options_that_name_a_file_or_another_program_are_refused(first, known_1):
    ours = {option.long for option in vars(commands).values() if isinstance(option, commands.Option)}
    for name in commands.ALLOWED[1]:
        for flag in set(known_1[name][0]) & ours:
            with pytest.raises(CallerError, match=flag):
                commands.parse(first.version, f"{name} {flag}=x")
