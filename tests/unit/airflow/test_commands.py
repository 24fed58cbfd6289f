"""Which texts are commands of MWAA's command line, and which are refused, with words that help."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import commands, units, versions
from aerodrome.errors import CallerError

EVERYWHERE = st.sampled_from(list(versions.OFFERED.values()))
GROUPED = [version for version in versions.OFFERED.values() if version.line > 1]


@pytest.fixture(params=[version.number for version in GROUPED])
def version(request):
    """Each offered version whose commands are in groups, as they are since Airflow 2."""
    return versions.lookup(request.param)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version", ["version"]),
        ("airflow version", ["version"]),
        ("  dags   list  \n", ["dags", "list"]),
        ("""dags trigger one --conf '{"a": 1}'""", ["dags", "trigger", "one", "--conf", '{"a": 1}']),
        ("""dags trigger one --conf '{"a":\n 1}'""", ["dags", "trigger", "one", "--conf", '{"a":\n 1}']),
        (r"""variables set k "a \"b\" c" """, ["variables", "set", "k", 'a "b" c']),
        ("variables set k $HOME;rm -rf /", ["variables", "set", "k", "$HOME;rm", "-rf", "/"]),
        ("variables set --json k -- -S", ["variables", "set", "--json", "k", "--", "-S"]),
        ("db clean --clean-before-timestamp 2024-01-01 -y", None),
        ("variables set city München", ["variables", "set", "city", "München"]),
    ],
)
def test_words_are_split_as_a_shell_would(version, text, words):
    assert commands.parse(version, text) == (words or text.split())


@given(
    st.sampled_from(GROUPED),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=5),
)
def test_what_was_quoted_comes_out_as_it_was(version, values):
    words = ["variables", "set", *values]
    assert commands.parse(version, shlex.join(words)) == words


@given(EVERYWHERE, st.text(max_size=200))
def test_any_text_is_a_command_or_is_refused(version, text):
    try:
        words = commands.parse(version, text)
    except CallerError:
        return
    assert {words[0], " ".join(words[:2])} & set(commands.ALLOWED[version.line])


@pytest.mark.parametrize(
    "text",
    [
        "users list", "connections list", "connections get x", "connections export x", "config list", "pools list",
        "db reset -y", "db shell", "db migrate", "variables import x", "variables export x", "scheduler", "webserver",
        "api-server", "celery worker", "standalone", "info", "rotate-fernet-key", "users create", "roles export x",
        "roles delete x", "providers lazy-loaded", "dags", "'dags list'", "dags\tx", "DAGS LIST", "-v dags list",
        "airflow airflow version", "/bin/sh", "--help",
    ],
)  # fmt: skip
def test_what_mwaa_does_not_run_is_refused_by_name(version, text):
    with pytest.raises(CallerError) as refused:
        commands.parse(version, text)
    message = str(refused.value)
    assert " ".join(shlex.split(text.removeprefix("airflow "))[:2]) in message or version.number in message


def test_a_refusal_lists_what_there_is(version):
    with pytest.raises(CallerError, match=r"dags trigger.*airflow-cli-command-reference"):
        commands.parse(version, "dags explode")
    with pytest.raises(CallerError, match="connections, dags, db"):
        commands.parse(version, "explode")


@pytest.mark.parametrize("text", ["", "   ", "airflow", " \n "])
def test_nothing_is_no_command(version, text):
    with pytest.raises(CallerError, match="no command"):
        commands.parse(version, text)


@pytest.mark.parametrize("text", ["version\0", "variables set k '\ud800'", "version 'open", "x" * 70_000, "version \\"])
def test_what_no_process_could_be_given_is_refused(version, text):
    with pytest.raises(CallerError):
        commands.parse(version, text)


LINES = {3: versions.lookup("3.3.1"), 2: versions.lookup("2.11.2"), 1: versions.lookup("1.10.12")}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "tasks run a b c"), (2, "dags backfill a -s 2024-01-01"), (2, "roles list"), (2, "roles create x"),
        (3, "assets list"), (3, "assets materialize --name x"), (3, "backfill create --dag-id a"),
        (3, "tasks list -h"), (3, "dags list -B x"), (2, "dags list-runs -d MyS"), (3, "dags list -ojson"),
        (1, "list_dags"), (1, "list_dags -r"), (1, "list_tasks a --tree"), (1, "trigger_dag a -r one -c {}"),
        (1, "backfill a -s 2024-01-01 -e 2024-01-02 -dr"), (1, "clear a -s 2024-01-01 -d -dx"), (1, "pause a"),
        (1, "variables -s import-me x"), (1, "variables -g k -d x -j"), (1, "variables list"), (1, "pool -s a 1 b"),
        (1, "test a b 2024-01-01 -tp {}"), (1, "run a b 2024-01-01 -int --pool x"), (1, "show_dag a"), (1, "version"),
        (1, "delete_dag a -y"), (1, "dag_state a 2024-01-01"), (1, "next_execution a"), (1, "list_dag_runs a"),
    ],
)  # fmt: skip
def test_each_line_has_commands_of_its_own(line, text):
    assert commands.parse(LINES[line], text) == text.split()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (3, "tasks run a b c"), (3, "dags backfill a"), (2, "assets list"), (2, "backfill create"), (3, "list_dags"),
        (2, "trigger_dag a"), (1, "dags list"), (1, "tasks run a b c"), (1, "connections -l"), (1, "initdb"),
        (1, "users list"), (1, "config"), (1, "resetdb -y"), (1, "shell"), (1, "create_user -r Admin"),
        (1, "pools import x"), (1, "rotate_fernet_key"), (1, "webserver"),
        (1, "kubernetes_generate_dag_yaml a -o /etc"), (1, "list_users"),
    ],
)  # fmt: skip
def test_and_not_the_other_lines(line, text):
    with pytest.raises(CallerError, match="not available in Airflow"):
        commands.parse(LINES[line], text)


@pytest.mark.parametrize("text", ["roles list", "roles create x", "roles add-perms Viewer -a can_edit -r DAGs"])
def test_airflow_3_has_no_roles_but_iams_and_says_so(text):
    with pytest.raises(CallerError, match="those that IAM grants"):
        commands.parse(LINES[3], text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (2, "dags list -S /etc"), (2, "dags list -S=/etc"), (2, "dags list -S/etc"), (2, "dags list -vS /etc"),
        (2, "dags list -v=S/etc"), (2, "dags list --subdir /etc"), (2, "dags list --subdir=/etc"),
        (2, "dags list --sub /etc"), (2, "dags list --s=/etc"), (2, "tasks run a b c --cfg-path x"),
        (2, "tasks run a b c -p"), (2, "tasks test a b c -vm"), (2, "dags list -- -S /etc"),
        (3, "dags show a -s x.png"), (3, "dags show a --save=x.png"), (3, "dags show a --imgcat"),
        (3, "dags test a --save-dagrun x"), (3, "dags test a --imgcat-dagrun"), (3, "dags test a -f /x.py"),
        (3, "dags test a --dagfile /x.py"), (3, "tasks test a b c --env-vars {}"), (3, "tasks test a b c --env {}"),
        (3, "tasks test a b c --post-mortem"),
        (1, "list_dags -sd /etc"), (1, "list_dags -sd=/etc"), (1, "list_dags -s /etc"), (1, "list_dags --sub /etc"),
        (1, "list_dags --subdir=/etc"), (1, "backfill a -sd /etc"), (1, "clear a -sd=/etc"), (1, "clear a --s /etc"),
        (1, "run a b c --cfg_path x"), (1, "run a b c --cfg=x"), (1, "run a b c -p 1"), (1, "run a b c -ip 1"),
        (1, "show_dag a -s x.png"), (1, "show_dag a -sx.png"), (1, "show_dag a -sd /etc"), (1, "show_dag a --imgcat"),
        (1, "test a b c -pm"), (1, "test a b c -p"), (1, "test a b c --post_m"), (1, "pool -i x"), (1, "pool -ex"),
        (1, "pool --export x"), (1, "variables -i x"), (1, "variables --im=x"), (1, "variables -e x"),
        (1, "variables import x"), (1, "variables -j export x"), (1, "trigger_dag a -sd /etc"), (1, "pause a -s /etc"),
    ],
)  # fmt: skip
def test_options_that_reach_beyond_the_command_are_refused(line, text):
    with pytest.raises(CallerError, match="is not available here"):
        commands.parse(LINES[line], text)


def test_a_refusal_of_1_10_lists_what_there_is():
    with pytest.raises(
        CallerError, match=r"in Airflow 1\.10\.15 on MWAA\. Available groups and commands are: backfill, "
    ):
        commands.parse(LINES[1], "dags list")
    with pytest.raises(CallerError, match=r"list_dags: the option --subdir \(-sd\) is not available here: DAGs are"):
        commands.parse(LINES[1], "list_dags -sd x")
    with pytest.raises(CallerError, match="variables: the word export is not available here: commands neither"):
        commands.parse(LINES[1], "variables export x")


def test_a_refusal_tells_no_value():
    with pytest.raises(CallerError) as refused:
        commands.parse(LINES[3], "tasks test a b c --env-vars hunter2 ")
    assert "hunter2" not in str(refused.value)


def test_a_command_runs_as_the_web_server_does(version, make_context):
    context = make_context(version.number, uid=1234, gid=1234)
    web = next(unit for unit in version.adapter.units(context) if unit["name"] == units.WEB)

    command = units.command(web, ["variables", "get", "x"])

    assert command["argv"] == [str(context.inside / "boot.py"), "cli", "variables", "get", "x"]
    assert command["env"]["AIRFLOW_CONFIG"].endswith(units.CONTROL)
    assert (command["uid"], command["gid"], command["umask"]) == (1234, 1234, web["umask"])
    assert {key: web[key] for key in command if key != "argv"} == {
        key: value for key, value in command.items() if key != "argv"
    }
