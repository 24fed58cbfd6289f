"""The generated configuration files."""

from __future__ import annotations

import json
import re
from configparser import ConfigParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerodrome.airflow import connections, line2, line3, options, sections, versions
from aerodrome.airflow.context import Database
from aerodrome.errors import CallerError


def files(version, context):
    return {path.name: text for path, text in version.adapter.configuration(context).items()}


def read(text):
    parser = ConfigParser()
    parser.read_string(text)
    return parser


OURS = {"aerodrome.gateway_issuer", "aerodrome.gateway_jwks"}


def today(version, option):
    """Section and key under which the version knows the option."""
    name = tuple(option.split("."))
    return options.renames(version.number).get(name, name)


def control(version, context):
    return read(files(version, context)["control.cfg"])


def test_equal_contexts_make_equal_files(version, make_context):
    assert files(version, make_context(version.number)) == files(version, make_context(version.number))


def test_all_files_lie_in_the_revisions_folder(version, make_context):
    context = make_context(version.number)
    elsewhere = [path for path in version.adapter.configuration(context) if path.parent != context.configuration]
    # Airflow 1.10 looks for this one nowhere else, and it says the same for every revision.
    assert elsewhere == ([context.airflow_home / "webserver_config.py"] if version.line == 1 else [])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("core.executor", "SequentialExecutor"),
        ("core.dags_folder", "/etc"),
        ("core.fernet_key", "mine"),
        ("core.load_examples", "True"),
        ("database.sql_alchemy_conn", "sqlite:////home/x"),
        ("celery.broker_url", "redis://elsewhere"),
        ("celery.pool", "gevent"),
        ("operators.default_queue", "mine"),
        ("celery.worker_concurrency", "99"),
        ("logging.logging_config_class", "x.Y"),
        ("aerodrome.gateway_issuer", "me"),
        ("aerodrome.gateway_jwks", "/home/mine.json"),
        ("core.auth_manager", "mine.Manager"),
        ("webserver.rbac", "False"),
        ("api.auth_backend", "mine.Backend"),
    ],
)
def test_no_user_changes_what_is_forced(version, make_context, option, value):
    if option not in options.known(version.number) and option not in OURS:
        pytest.skip("this version has no such option")
    section, key = today(version, option)
    assert control(version, make_context(version.number, options={option: value}))[section].get(key) != value


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("core.parallelism", "7"),
        ("scheduler.scheduler_idle_sleep_time", "0.1"),
        ("scheduler.task_queued_timeout", "60"),
        ("smtp.smtp_host", "mail"),
        ("foo.user", "bar"),
        ("logging.log_format", "[%(asctime)s] %(message)s"),
    ],
)
def test_a_user_changes_the_rest(version, make_context, option, value):
    section, key = today(version, option)
    config = control(version, make_context(version.number, options={option: value}))
    assert config.get(section, key) == value


def test_names_of_another_line_reach_the_options_of_this_one(version, make_context):
    given = {"core.dag_concurrency": "7", "dag_processor.refresh_interval": "60", "core.logging_level": "DEBUG"}
    config = control(version, make_context(version.number, options=given))
    for option, value in given.items():
        assert config.get(*today(version, option)) == value


def test_airflow_1_keeps_environments_apart_that_share_a_redis(make_context):
    config = control(versions.lookup("1.10.15"), make_context("1.10.15", key_prefix="env-1:"))
    assert config["celery"]["default_queue"] == "env-1:default"
    transport = config["celery_broker_transport_options"]
    assert transport["unacked_key"] == "env-1:unacked"
    assert transport["fanout_prefix"].format(db=0) == "/env-1:0."


def test_old_names_reach_the_new_options_of_line_3(make_context):
    context = make_context(options={"scheduler.parsing_processes": "5", "scheduler.dag_dir_list_interval": "60"})
    config = read(line3.configuration(context)[context.configuration / "control.cfg"])
    assert config["dag_processor"]["parsing_processes"] == "5"
    assert config["dag_processor"]["refresh_interval"] == "60"


def test_the_database_url_quotes_every_part():
    url = sections.database_url(Database(host="/run/pg", name="d/b", user="u@x", password="p:@/%$é", port=1))
    assert url == "postgresql+psycopg2://u%40x:p%3A%40%2F%25%24%C3%A9@/d%2Fb?host=%2Frun%2Fpg&port=1"


def test_workers_of_line_3_know_no_secret_and_no_database(make_context, secrets):
    context = make_context()
    text = line3.configuration(context)[context.configuration / "worker.cfg"]
    assert not any(secret in text for secret in secrets.values())
    assert "postgresql" not in text
    assert "env_1" not in text


def test_workers_of_line_2_sign_no_web_session(make_context, secrets):
    context = make_context("2.11.2")
    text = line2.configuration(context)[context.configuration / "worker.cfg"]
    assert secrets["web"] not in text
    assert secrets["jwt"] not in text


def test_long_tasks_are_not_handed_out_twice(version, make_context):
    config = control(version, make_context(version.number))
    seconds = str(sections.VISIBILITY_TIMEOUT)
    assert config["celery_broker_transport_options"]["visibility_timeout"] == seconds
    extra = json.loads(config["celery"]["extra_celery_config"])
    assert extra["broker_transport_options"]["visibility_timeout"] == int(seconds)


def test_a_shared_redis_gets_a_prefix_on_every_key(version, make_context):
    config = control(version, make_context(version.number, key_prefix="env-1:"))
    assert config["celery_broker_transport_options"]["global_keyprefix"] == "env-1:"
    assert config["celery_result_backend_transport_options"]["global_keyprefix"] == "env-1:"


def test_celery_settings_of_the_user_are_kept_but_the_broker_is_ours(version, make_context):
    mine = {"task_time_limit": 5, "broker_url": "x", "broker_transport_options": {"visibility_timeout": 1}}
    options = {"celery.extra_celery_config": json.dumps(mine)}
    extra = json.loads(control(version, make_context(version.number, options=options))["celery"]["extra_celery_config"])
    assert extra["task_time_limit"] == 5
    assert "broker_url" not in extra
    assert extra["broker_transport_options"]["visibility_timeout"] == sections.VISIBILITY_TIMEOUT


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_celery_settings_that_are_no_object_are_the_callers_error(version, make_context, text):
    with pytest.raises(CallerError, match="extra_celery_config"):
        files(version, make_context(version.number, options={"celery.extra_celery_config": text}))


def test_the_whole_configuration_is_never_shown(version, make_context):
    section = "api" if version.line == 3 else "webserver"
    for name in ("api.expose_config", "webserver.expose_config"):
        config = control(version, make_context(version.number, options={name: "True"}))
        assert config.get(section, "expose_config", fallback="non-sensitive-only") == "non-sensitive-only"


@pytest.mark.parametrize(("text", "expected"), [("20,5", 20), ("3", 3), (" 4 , 4 ", 4)])
def test_the_pool_is_as_large_as_the_autoscale_maximum(make_context, text, expected):
    assert sections.tasks_per_worker(make_context(options={"celery.worker_autoscale": text})) == expected


@pytest.mark.parametrize("text", ["", "a,b", "0,0", "5,5,5", "-1", "²", "5,²", "9" * 5000, "10000"])
def test_a_pool_size_that_is_no_number_is_the_callers_error(make_context, text):
    with pytest.raises(CallerError, match="worker_autoscale"):
        sections.tasks_per_worker(make_context(options={"celery.worker_autoscale": text}))


@pytest.mark.parametrize("name", sections.NUMBERS)
@given(text=st.text(st.sampled_from("-0123456789²٣ a,"), max_size=25) | st.integers().map(str) | st.just("9" * 5000))
@settings(max_examples=30)
def test_a_number_that_we_read_ourselves_is_one_or_is_refused(name, text):
    least = sections.NUMBERS[name]
    if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", text) and least <= int(text) < 2**31:
        sections.check({name: text})
        assert connections.most(3, {name: text}, tasks_per_worker=5, workers=1) > 0
        return
    with pytest.raises(CallerError, match=f"{name} is .*: write a whole number from {least} to 2147483647"):
        sections.check({name: text})


@pytest.mark.parametrize("name", sections.POOL_SLOTS)
def test_the_default_pool_is_as_large_as_its_option_says(name):
    assert sections.default_pool_slots({}) is None
    assert [sections.default_pool_slots({name: text}) for text in ("0", "7", "-1")] == [0, 7, -1]
    with pytest.raises(CallerError, match="3000000000"):
        sections.default_pool_slots({name: "3000000000"})


def test_parallelism_follows_the_class(make_context):
    assert sections.defaults(make_context(max_workers=10, tasks_per_worker=5))["core"]["parallelism"] == "75"


def test_what_all_units_share_holds_no_secret(version, make_context, secrets):
    text = files(version, make_context(version.number))["shared.cfg"]
    assert not any(secret in text for secret in secrets.values())
    assert "env_1" not in text
    assert "/run/pg" not in text


def test_a_role_adds_to_the_shared_part_and_changes_only_the_database(version, make_context):
    """Else a unit forked from a process with Airflow in it would not be what it is when started by itself."""
    everything = {
        name: read(text) for name, text in files(version, make_context(version.number)).items() if ".cfg" in name
    }
    shared = everything.pop("shared.cfg")
    for config in everything.values():
        for section in shared.sections():
            for key, value in shared.items(section):
                assert config.get(section, key) == value or key == "sql_alchemy_conn"


def test_airflow_2_leaves_the_gateways_cookie_alone_and_sends_its_own_by_tls_only(make_context):
    version = versions.lookup("2.11.2")
    context = make_context(version.number)
    lines = files(version, context)["webserver_config.py"].splitlines()
    settings = dict(line.split(" = ") for line in lines if " = " in line)

    assert settings["SESSION_COOKIE_NAME"] not in {'"session"', '"_token"'}
    assert settings["LOGOUT_REDIRECT_URL"] == '"/aws_mwaa/logout"'
    assert settings["AUTH_ROLE_PUBLIC"] == "None"
    assert control(version, context)["webserver"]["cookie_secure"] == "True"
