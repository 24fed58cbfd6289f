"""The unit specifications."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

from aerodrome.airflow import units as shared
from aerodrome.airflow import versions

CORE = {
    3: ["scheduler", "dag-processor", "web", "execution", "triggerer"],
    2: ["scheduler", "dag-processor", "web", "triggerer"],
    1: ["scheduler", "web"],
}

ALLOWED = {
    "HOME", "USER", "LOGNAME", "PATH", "LANG", "TZ", "TMPDIR", "AERODROME_PATH", "PYTHONUNBUFFERED",
    "AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_VERSION", "AIRFLOW_ENV_NAME", "AIRFLOW_CONN_AWS_DEFAULT",
    "MWAA_AIRFLOW_COMPONENT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "AWS_EC2_METADATA_DISABLED",
    "CUSTOMER_ACCOUNT_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_MWAA", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_DISABLE_HOST_PREFIX_INJECTION",
}  # fmt: skip


def units(version, make_context, **changes):
    return version.adapter.units(make_context(version.number, **changes))


def test_the_units_of_each_line(version, make_context):
    names = [unit["name"] for unit in units(version, make_context, workers=(1, 2))]
    assert names == [*CORE[version.line], "worker-1", "worker-2"]


def test_an_environment_without_workers_has_none(version, make_context):
    assert [unit["name"] for unit in units(version, make_context, workers=())] == CORE[version.line]


def test_the_triggerer_can_be_left_out(version, make_context):
    names = [unit["name"] for unit in units(version, make_context, options={"mwaa.triggerer_enabled": "False"})]
    assert "triggerer" not in names


def test_only_an_execution_api_that_takes_over_is_warm_before_it_is_ready(version, make_context):
    for takes_over in (False, True):
        found = units(version, make_context, takes_over=takes_over)
        warm = {unit["name"] for unit in found if "--warm" in unit["argv"]}
        assert warm == ({"execution"} if takes_over and version.line == 3 else set())


def test_units_are_json_and_absolute(version, make_context):
    for unit in json.loads(json.dumps(units(version, make_context))):
        assert unit["how"] == "fork"
        assert Path(unit["argv"][0]).name == "boot.py"
        assert Path(unit["argv"][0]).is_file()
        assert Path(unit["cwd"]).is_absolute()
        assert Path(unit["log"]).is_absolute()
        assert all(isinstance(argument, str) for argument in unit["argv"])


def test_the_environment_comes_from_the_allow_list_and_holds_no_secret(version, make_context, secrets, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leaked")
    changes = {
        "aws_endpoint_url": "http://127.0.0.1:4561",
        "mwaa_endpoint_url": "http://127.0.0.1:4560",
        "credentials_uri": "http://127.0.0.1:5000/role",
        "credentials_token_file": Path("/data/token"),
        "options": {"smtp.smtp_password": "option-secret"},
    }
    for unit in units(version, make_context, **changes):
        assert set(unit["env"]) == ALLOWED
        text = json.dumps(unit)
        assert not any(secret in text for secret in [*secrets.values(), "option-secret", "leaked"])


def test_without_endpoints_the_real_aws_is_asked(version, make_context):
    for unit in units(version, make_context):
        assert not [name for name in unit["env"] if name.startswith(("AWS_ENDPOINT", "AWS_CONTAINER"))]


def test_only_trusted_roles_read_the_keys(version, make_context):
    for unit in units(version, make_context):
        expected = "worker.cfg" if unit["name"].startswith("worker") else "control.cfg"
        assert Path(unit["env"]["AIRFLOW_CONFIG"]).name == expected


def test_workers_have_names_of_their_own_in_every_revision(version, make_context):
    made = units(version, make_context, workers=(1, 2), tasks_per_worker=4, revision=7)
    workers = [unit for unit in made if "worker" in unit["name"]]
    assert [unit["name"] for unit in workers] == ["worker-1", "worker-2"]
    assert [unit["argv"][1:] for unit in workers] == [
        ["worker-1" if version.line == 1 else "worker", "--hostname", name, "--concurrency", "4"]
        for name in ("worker-1.7", "worker-2.7")
    ]


def test_what_the_adapters_say_of_units_is_of_units_that_there_are(version, make_context):
    names = {unit["name"] for unit in units(version, make_context)}
    assert names >= version.adapter.ONCE
    assert names >= version.adapter.NEEDED_BY_TASKS
    assert not any("worker" in name for name in version.adapter.ONCE | version.adapter.NEEDED_BY_TASKS)


def test_a_release_lies_on_the_paths_behind_ours(version, make_context):
    site = Path("/data/releases/r/site")
    for unit in units(version, make_context, site=site):
        assert unit["env"]["AERODROME_PATH"].split(":")[1:] == [str(site)]
        assert unit["env"]["PATH"].split(":")[:2] == ["/venv/bin", f"{site}/bin"]


def test_exported_variables_reach_their_component_and_displace_nothing_of_ours(version, make_context):
    exported = {
        "scheduler": {"TEAM": "s", "HOME": "/elsewhere", "PATH": "/opt/tool/bin:/usr/bin", "TZ": "Europe/Rome"},
        "worker": {"TEAM": "w"},
    }
    for unit in units(version, make_context, variables=exported):
        env = unit["env"]
        assert env["HOME"] == env["AIRFLOW_HOME"] == "/data/environments/probe/airflow"
        if unit["name"].startswith("worker"):
            assert (env["TEAM"], env["TZ"]) == ("w", "UTC")
        else:  # what is said of no component of its own is the scheduler's
            assert (env["TEAM"], env["TZ"]) == ("s", "Europe/Rome")
            assert env["PATH"] == "/venv/bin:/opt/tool/bin:/usr/bin"
        assert unit["how"] == "fork"


def test_defaults_give_way_to_what_is_exported(version, make_context):
    defaults = {"SSL_CERT_FILE": "/ours", "CURL_CA_BUNDLE": "/ours"}
    exported = {"scheduler": {"SSL_CERT_FILE": "/theirs"}}
    for unit in units(version, make_context, variables=exported, defaults=defaults):
        assert (unit["env"]["SSL_CERT_FILE"], unit["env"]["CURL_CA_BUNDLE"]) == ("/theirs", "/ours")


def test_towards_the_real_aws_host_names_get_their_prefixes(version, make_context):
    for endpoint, expected in ((None, None), ("http://127.0.0.1:4560", "true")):
        for unit in units(version, make_context, aws_endpoint_url=endpoint):
            assert unit["env"].get("AWS_DISABLE_HOST_PREFIX_INJECTION") == expected


def test_what_a_program_reads_at_its_start_makes_a_cold_start(version, make_context):
    exported = {"scheduler": {"LD_LIBRARY_PATH": "/opt/lib"}, "worker": {}, "webserver": {"X": "1"}}
    for unit in units(version, make_context, variables=exported):
        is_cold = unit["env"]["MWAA_AIRFLOW_COMPONENT"] == "scheduler" or unit["name"].startswith("worker")
        assert (unit["how"] == "exec") is is_cold
        program = ["/venv/bin/python"] if is_cold else []
        assert unit["argv"][: len(program)] == program
        assert Path(unit["argv"][len(program)]).name == "boot.py"


def test_the_web_server_gets_its_socket_and_no_port(version, make_context):
    web = next(unit for unit in units(version, make_context) if unit["name"] == "web")
    assert web["argv"][-2:] == ["--socket", "/run/0a1b2c3d/web.sock"]
    assert "--port" not in web["argv"]


def test_units_run_as_the_environments_user(version, make_context):
    for unit in units(version, make_context, uid=1234, gid=1235):
        assert (unit["uid"], unit["gid"], unit["umask"]) == (1234, 1235, 0o007)


TWO_USERS = {
    "uid": 20,
    "gid": 20,
    "control_uid": 21,
    "control_home": Path("/run/0a1b2c3d/s/home-1"),
    "control_temporary": Path("/run/0a1b2c3d/v"),
}


def test_both_users_may_log_where_either_has_made_the_folder(make_context):
    """A downgrade to Airflow 2, where DAG code does it all, would find folders that it may not write to."""
    umasks = {
        unit["name"]: unit["umask"]
        for unit in versions.lookup("3.3.1").adapter.units(make_context("3.3.1", **TWO_USERS))
    }
    assert umasks["dag-processor"] == umasks["triggerer"] == umasks["worker-1"] == 0o007
    assert umasks["scheduler"] == umasks["web"] == 0o077


def test_what_reads_keys_has_another_user_than_dag_code(make_context):
    context = make_context("3.3.1", **TWO_USERS)
    for unit in versions.lookup("3.3.1").adapter.units(context):
        reads_keys = unit["env"]["AIRFLOW_CONFIG"].endswith(shared.CONTROL)
        assert (unit["uid"], unit["gid"]) == (21 if reads_keys else 20, 20)
        own = {unit["env"]["HOME"], unit["cwd"], unit["env"]["TMPDIR"]}
        secret = {str(TWO_USERS["control_home"]), str(TWO_USERS["control_temporary"])}
        assert own == secret if reads_keys else not own & secret
        # DAG code is the only thing for which a secret must not be within reach, and the only one that is apart.
        assert (unit["companion"] is not None) == (unit["name"] in shared.DAG_CODE)


def test_dag_code_of_units_with_keys_runs_beside_them_as_a_task_does(make_context):
    units = {unit["name"]: unit for unit in versions.lookup("3.3.1").adapter.units(make_context("3.3.1", **TWO_USERS))}
    for name in shared.DAG_CODE:
        companion, worker = units[name]["companion"], units["worker-1"]
        assert companion["argv"] == [worker["argv"][0], "dag-code", name]
        assert units[name]["argv"][1:] == [name, "--apart"]
        assert (companion["uid"], companion["gid"]) == (20, 20)
        differing = {each for each in companion["env"] if companion["env"][each] != worker["env"][each]}
        assert differing == {"MWAA_AIRFLOW_COMPONENT"}


def test_units_of_two_users_are_forked_from_a_process_that_dag_code_cannot_trace(make_context):
    prelude = shared.prelude(make_context("3.3.1", **TWO_USERS))
    assert (prelude["uid"], prelude["saved_uid"], prelude["gid"]) == (21, 20, 20)


def test_units_that_cannot_be_forks_have_companions_that_are_none(make_context):
    context = make_context("3.3.1", **TWO_USERS, variables={"scheduler": {"LD_PRELOAD": "/x.so"}})
    for unit in versions.lookup("3.3.1").adapter.units(context):
        if unit["companion"] is not None:
            assert unit["companion"]["how"] == unit["how"] == "exec"
            assert unit["companion"]["argv"][0] == str(context.interpreter)


def test_with_one_user_nothing_is_apart(version, make_context):
    for unit in units(version, make_context, uid=1234, gid=1235):
        assert unit["companion"] is None
        assert "--apart" not in unit["argv"]


def test_the_prelude_runs_as_the_units_do_but_with_the_shared_part(version, make_context):
    context = make_context(version.number, uid=1, gid=2)
    prelude = shared.prelude(context)
    unit = version.adapter.units(context)[0]
    assert prelude["argv"] == [unit["argv"][0], "prelude"]
    assert (prelude["uid"], prelude["gid"], prelude["cwd"]) == (1, 2, unit["cwd"])
    assert {name for name in unit["env"] if unit["env"][name] != prelude["env"][name]} == {"AIRFLOW_CONFIG"}


def test_the_worker_that_has_a_host_name_is_known_by_it_and_no_other_host_is_a_worker():
    assert shared.worker_of(shared.hostname("worker-12", 7)) == (7, "worker-12")
    for other in ("", "worker-1", "worker-1.", "worker-1.x", "10.0.0.5", "node.7", "worker-1.7\n", "worker-99999.1"):
        assert shared.worker_of(other) is None


def test_the_file_lists_the_workers_that_take_tasks(make_context):
    context = make_context("3.3.1", workers=(1, 2, 5), draining=(2,), revision=4)
    assert shared.consuming(context) == "worker-1.4\nworker-5.4\n"


def test_each_of_several_schedulers_and_web_servers_has_its_name_and_each_web_server_its_socket(make_context, version):
    context = make_context(version.number, schedulers=3, web_servers=2)
    if version.line == 1:
        return  # 1.10 can have one scheduler only
    made = {unit["name"]: unit for unit in version.adapter.units(context)}
    assert {"scheduler", "scheduler-2", "scheduler-3", "web", "web-2"} <= made.keys()
    assert "web-3" not in made
    sockets = [unit["argv"][unit["argv"].index("--socket") + 1] for name, unit in made.items() if "web" in name]
    assert sockets == [str(context.web_socket), str(context.web_socket.with_name(f"{context.web_socket.stem}-2.sock"))]
    assert len({unit["log"] for unit in made.values()}) == len(made)
    assert [shared.is_web_server(name) for name in ("web", "web-2", "worker-1", "website")] == [
        True,
        True,
        False,
        False,
    ]


TRACES_URI = "http://127.0.0.1:20001/v1/traces"


def options_of(context, name):
    text = versions.lookup(context.version).adapter.configuration(context)[context.configuration / name]
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser.get("traces", "otel_on", fallback=None)


def test_units_of_3_2_and_later_send_spans_to_the_sidecar_where_they_are_wanted(make_context, version):
    wanted = version.number in {"3.2.1", "3.3.1"}
    for uri, is_on in ((None, None), (TRACES_URI, "True")):
        context = make_context(version.number, traces_uri=uri)
        shown = {unit["env"].get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") for unit in version.adapter.units(context)}
        assert shown == {uri if wanted else None}
        names = {unit["env"].get("OTEL_SERVICE_NAME") for unit in version.adapter.units(context)}
        assert names == {context.name if uri and wanted else None}
        assert options_of(context, shared.CONTROL) == options_of(context, shared.WORKER) == (is_on if wanted else None)
        assert options_of(context, shared.SHARED) is None


def test_a_user_can_send_spans_elsewhere_or_not_at_all(make_context):
    variables = {"scheduler": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://mine:4318/v1/traces"}}
    off = make_context(traces_uri=TRACES_URI, options={"traces.otel_on": "False"}, variables=variables)
    assert {options_of(off, name) for name in (shared.CONTROL, shared.WORKER, shared.SHARED)} == {"False"}
    [scheduler] = [unit for unit in versions.lookup(off.version).adapter.units(off) if unit["name"] == "scheduler"]
    assert scheduler["env"]["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://mine:4318/v1/traces"


def test_a_user_may_trace_where_otlp_is_off(make_context):
    own = make_context(options={"traces.otel_on": "True"})
    assert {options_of(own, name) for name in (shared.CONTROL, shared.WORKER, shared.SHARED)} == {"True"}


def test_the_process_that_units_are_forked_from_never_traces_where_otlp_is_on(make_context):
    own = make_context(traces_uri=TRACES_URI, options={"traces.otel_on": "True"})
    assert options_of(own, shared.SHARED) == "False"
