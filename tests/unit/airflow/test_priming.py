"""Which environments' units may be forked from a process that has imported Airflow for nobody."""

from __future__ import annotations

import configparser
import importlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import priming, units, versions
from aerodrome.airflow.inside.aerodrome_unit import likeness

NAMES = st.sampled_from(["a", "b", "c"])
SECTIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, st.sampled_from(["1", "2"]), min_size=1), max_size=3)
READS = st.sets(st.tuples(NAMES, NAMES))


def text(sections):
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    lines = [f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in parser[name].items()) for name in sections]
    return "".join(lines)


@given(SECTIONS, SECTIONS, READS)
def test_who_goes_on_finds_every_option_that_was_read_as_it_was(one, other, reads):
    if likeness.difference(text(one), text(other), reads):
        return
    for section, option in reads:
        assert one.get(section, {}).get(option) == other.get(section, {}).get(option)
    for section, options in one.items():  # what it had and does not have now would stay
        assert options.keys() <= other[section].keys()


@given(SECTIONS, READS)
def test_the_same_configuration_is_never_another(sections, reads):
    assert likeness.difference(text(sections), text(sections), reads) == ""


def test_what_is_read_again_may_differ():
    assert likeness.difference("[api]\nbase_url = a\n", "[api]\nbase_url = b\n", [("api", "base_url")]) == ""
    assert likeness.difference("[api]\nbase_url = a\n", "[api]\n", [("api", "base_url")]) == "api.base_url"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "airflow.cfg"
    path.write_text("[Core]\nOne = 1\n[other]\na = b\n")
    return path


@pytest.fixture
def asked(file):
    """What a function reads of a parser that has read the file."""

    def asked(function):
        reads, parser = set(), configparser.ConfigParser()
        with likeness.noted(reads, str(file)):
            parser.read(str(file))
            function(parser)
        parser.get("Core", "one")
        return reads

    return asked


@pytest.mark.parametrize(
    ("function", "reads"),
    [
        (lambda parser: parser.get("Core", "One"), {("core", "one")}),
        (lambda parser: parser.has_option("core", "two"), {("core", "two")}),
        (lambda parser: parser["Core"].get("one"), {("core", "*"), ("core", "one")}),
        (lambda parser: parser.getint("Core", "one"), {("core", "one")}),
        (lambda parser: parser.items("other"), {("other", "*")}),
        (lambda parser: dict(parser["other"]), {("other", "*"), ("other", "a")}),
        (lambda parser: parser.options(section="other"), {("other", "*")}),
        (lambda parser: parser.has_section("none"), {("none", "*")}),
        (lambda parser: "other" in parser, {("other", "*")}),
        (lambda parser: parser.sections(), {("*", "*")}),
        (lambda parser: parser.items(), {("*", "*")}),
    ],
)
def test_every_way_to_ask_for_options_is_noted(asked, function, reads):
    assert asked(function) >= reads


def test_they_are_noted_for_a_while(asked):
    assert asked(lambda _: None) == set()
    assert configparser.RawConfigParser.get.__name__ == "get"


def test_a_parser_that_has_read_another_file_tells_nothing_of_this_one(file, tmp_path):
    other = tmp_path / "defaults.cfg"
    other.write_text("[core]\none = 2\n")
    of_others, of_nobody, reads = configparser.ConfigParser(), configparser.ConfigParser(), set()
    with likeness.noted(reads, str(file)):
        of_others.read([other])
        of_others.get("core", "one")
        assert reads == set()
        of_nobody.read_string("[core]\none = 3\n")
        of_nobody.get("core", "one")
    assert reads == {("core", "one")}


def test_what_is_read_to_be_hidden_from_logs_is_not_noted_but_what_is_imported_meanwhile(asked, tmp_path, monkeypatch):
    (tmp_path / "imported_meanwhile.py").write_text("import builtins\nVALUE = builtins.the_parser.get('other', 'a')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def mask_secrets(parser):
        monkeypatch.setattr("builtins.the_parser", parser, raising=False)
        parser.get("Core", "one")
        importlib.import_module("imported_meanwhile")

    assert asked(mask_secrets) == {("other", "a")}


@pytest.fixture
def line_3(make_context):
    number = next(number for number in versions.OFFERED if priming.is_offered(number))
    return lambda **changes: make_context(number, **changes)


@pytest.fixture
def primed(line_3, tmp_path):
    """The folder of a process that has read the default timezone, and what it was told."""
    nobody = line_3(configuration=tmp_path, broker_url="redis://nobodys", base_url="https://nobodys")
    files = priming.files(nobody, tmp_path / "socket")
    for path, content in files.items():
        path.write_text(content)
    reads = [("core", "default_timezone"), ("api", "base_url"), ("celery", "broker_url"), ("core", "parallelism")]
    tell(tmp_path, options=reads)
    return tmp_path


def tell(folder, **asked):
    known = {"options": [], "modules": ["airflow", "google", "orjson"], "namespaces": ["google"], "packages": ["*"]}
    (folder / priming.ASKED).write_text(json.dumps({**known, **asked}))


def test_an_environment_with_defaults_may_use_it(primed, line_3, tmp_path):
    assert priming.objection(primed, line_3(), [tmp_path / "absent"]) == ""
    assert priming.objection(primed, line_3(options={"core.max_map_length": "7"}), []) == ""


def test_an_environment_that_sends_spans_may_though_airflow_asks_at_its_import_whether_it_is_to(primed, line_3):
    tell(primed, options=[("traces", "otel_on")])
    traced = {"traces_uri": "http://127.0.0.1:20001/v1/traces"}
    assert priming.objection(primed, line_3(**traced), []) == ""
    own = priming.objection(primed, line_3(**traced, options={"traces.otel_on": "False"}), [])
    assert own == "it sets traces.otel_on"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"options": {"core.default_timezone": "Europe/Berlin"}}, "core.default_timezone"),
        ({"options": {"core.default_timezone_cmd": "date"}}, ""),
        ({"max_workers": 3}, "core.parallelism"),
        ({"variables": {"worker": {"A": "b"}, "scheduler": {}}}, "variables"),
    ],
)
def test_an_environment_that_answers_otherwise_may_not(primed, line_3, changes, reason):
    assert reason in priming.objection(primed, line_3(**changes), [])


def test_packages_speak_against_it_only_if_one_was_asked_for(primed, line_3, tmp_path):
    site = tmp_path / "site"
    (site / "pandas").mkdir(parents=True)
    (site / "pandas" / "__init__.py").touch()
    assert priming.objection(primed, line_3(site=site), []) == ""
    (site / "orjson.cpython-312-x86_64-linux-gnu.so").touch()
    assert "orjson" in priming.objection(primed, line_3(site=site), [])


@pytest.mark.parametrize(
    "read", [("api_auth", "jwt_secret"), ("core", "fernet_key"), ("api", "secret_key"), ("api", "*"), ("*", "*")]
)
def test_a_process_that_has_read_a_secret_is_of_no_use(primed, line_3, read):
    tell(primed, options=[read])
    refused = priming.objection(primed, line_3(broker_url="redis://nobodys", base_url="https://nobodys"), [])
    assert ".".join(read) in refused or (read[1] == "*" and refused)


TRIAL = {"AIRFLOW__CORE__PARALLELISM": "150", "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW_HOME": "/anywhere"}


def test_a_trial_with_the_same_answers_may_use_it(primed, tmp_path):
    known = configparser.RawConfigParser()
    known.read_string((primed / units.SHARED).read_text())
    variables = TRIAL | {"AIRFLOW__CORE__PARALLELISM": known.get("core", "parallelism")}
    assert priming.objection_of_trial(primed, variables, None, [tmp_path / "absent"]) == ""
    assert priming.objection_of_trial(tmp_path / "none", variables, None, []) == "it is not primed yet"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"AIRFLOW__CORE__PARALLELISM": "1"}, "core.parallelism"),
        ({"AIRFLOW__CORE__DEFAULT_TIMEZONE": "Europe/Berlin"}, "core.default_timezone"),
        ({"AIRFLOW__CORE__DEFAULT_TIMEZONE_CMD": "date"}, "core.default_timezone"),
        ({"MALLOC_ARENA_MAX": "1"}, "when a process starts"),
    ],
)
def test_a_trial_with_others_may_not(primed, variables, reason):
    assert reason in priming.objection_of_trial(primed, variables, None, [])


def test_a_trial_of_packages_or_local_settings_that_speak_against_it_may_not(primed, tmp_path):
    (tmp_path / "orjson.py").touch()
    assert "orjson" in priming.objection_of_trial(primed, {}, tmp_path, [])
    (tmp_path / "airflow_local_settings.py").touch()
    assert "airflow_local_settings" in priming.objection_of_trial(primed, {}, None, [tmp_path])


@given(SECTIONS, st.dictionaries(st.tuples(NAMES, NAMES), st.sampled_from(["1", "2"])), READS)
def test_a_trial_goes_on_only_if_its_variables_change_no_option_that_was_read(sections, variables, reads):
    if not likeness.overridden(text(sections), variables, reads):
        for section, option in reads & variables.keys():
            assert sections.get(section, {}).get(option) == variables[section, option]


def test_local_settings_of_the_users_speak_against_it(primed, line_3, tmp_path):
    (tmp_path / "airflow_local_settings.py").touch()
    assert "airflow_local_settings" in priming.objection(primed, line_3(), [tmp_path])


def test_a_process_that_is_not_primed_yet_is_not_used(primed, line_3):
    (primed / priming.ASKED).unlink()
    assert priming.objection(primed, line_3(), []) == "it is not primed yet"


def test_the_primed_process_is_told_nothing_of_any_environment(tmp_path):
    number = next(number for number in versions.OFFERED if priming.is_offered(number))
    nobody = priming.nobody(number, tmp_path / "python", tmp_path, tmp_path / "home")
    written = priming.files(nobody, tmp_path / "socket")
    assert set(written) == {tmp_path / units.SHARED, priming.file(tmp_path)}
    document = json.loads(written[priming.file(tmp_path)])
    assert document["env"]["AIRFLOW_HOME"] == str(tmp_path / "home")
    assert not {name for name in document["env"] if name.startswith("AWS_CONTAINER")}
    assert "fernet_key" not in written[tmp_path / units.SHARED]
