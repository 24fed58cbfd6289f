"""What UpdateEnvironment makes of a configuration, member by member."""

from __future__ import annotations

from dataclasses import replace

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import updates
from aerodrome.model.spec import COUNTS
from aerodrome.model.updates import FILES, updated

SHAPE = botocore.session.get_session().get_service_model("mwaa").operation_model("UpdateEnvironment").input_shape
FIELDS = {
    "RequirementsS3Path": ("requirements_s3_path", "requirements_s3_object_version"),
    "PluginsS3Path": ("plugins_s3_path", "plugins_s3_object_version"),
    "StartupScriptS3Path": ("startup_script_s3_path", "startup_script_s3_object_version"),
}
"""The fields of a spec behind each path and its version."""

PLAIN = {
    "AirflowVersion": "3.2.1",
    "DagS3Path": "elsewhere",
    "EnvironmentClass": "mw1.large",
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/other",
    "MaxWebservers": 4,
    "MaxWorkers": 7,
    "MinWebservers": 3,
    "MinWorkers": 2,
    "Schedulers": 3,
    "SourceBucketArn": "arn:aws:s3:::other",
    "WebserverAccessMode": "PUBLIC_ONLY",
    "WeeklyMaintenanceWindowStart": "SUN:03:30",
}


def test_every_member_of_the_request_has_its_place(spec):
    elsewhere = {*FILES, *FILES.values(), "AirflowConfigurationOptions", "LoggingConfiguration", "NetworkConfiguration"}
    assert {*PLAIN, *elsewhere, *updates.NOT_OF_THE_SPEC} == set(SHAPE.members)
    for member, value in PLAIN.items():
        kept = {own: value for own, each in COUNTS.items() if each == member}
        found = updated(spec, {"Name": "one", member: value}).document()
        assert found == {**spec.document(), member: value, **kept}


def test_as_many_schedulers_and_web_servers_run_as_a_caller_gave_and_one_where_nobody_did(spec):
    assert (spec.schedulers, spec.running_schedulers, spec.running_webservers) == (2, 1, 1)
    asked = updated(spec, {"Name": "one", "Schedulers": 3, "MinWebservers": 2})
    assert (asked.running_schedulers, asked.running_webservers) == (3, 2)
    again = updated(asked, {"Name": "one", "MaxWorkers": 5})
    assert (again.running_schedulers, again.running_webservers) == (3, 2)
    assert updated(asked, {"Name": "one", "Schedulers": 2}).running_schedulers == 2
    assert (spec.most_running_webservers, asked.most_running_webservers) == (1, 2)
    assert updated(asked, {"Name": "one", "MaxWebservers": 5}).most_running_webservers == 5


def test_an_empty_request_changes_nothing(spec):
    full = replace(spec, plugins_s3_path="p.zip", plugins_s3_object_version="1", kms_key="k")
    for strategy in ({}, {"WorkerReplacementStrategy": "FORCED"}):
        assert updated(full, {"Name": "one", **strategy}) == full


@pytest.mark.parametrize("options", [{}, {"webserver.expose_config": "true"}])
def test_options_are_replaced_as_a_whole(spec, options):
    changed = updated(spec, {"AirflowConfigurationOptions": options})
    assert changed == replace(spec, airflow_configuration_options=options)


def test_subnets_stay_and_security_groups_change(spec):
    changed = updated(spec, {"NetworkConfiguration": {"SecurityGroupIds": ["sg-b"]}})
    assert changed.network_configuration == {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-b"]}


def test_modules_of_logging_change_alone(spec):
    module = {"Enabled": True, "LogLevel": "DEBUG"}
    changed = updated(spec, {"LoggingConfiguration": {"WorkerLogs": module}})
    assert changed.logging_configuration["WorkerLogs"] == module
    assert changed.logging_configuration["TaskLogs"] == spec.logging_configuration["TaskLogs"]


@pytest.mark.parametrize("member", FIELDS)
@pytest.mark.parametrize(
    ("known", "path", "version", "expected"),
    [
        ((None, None), "a", None, ("a", None)),  # named: the present version is looked for
        ((None, None), "a", "2", ("a", "2")),
        (("a", "1"), None, None, ("a", "1")),
        (("a", "1"), "a", None, ("a", "1")),  # the same path is no new file
        (("a", "1"), "a", "2", ("a", "2")),
        (("a", "1"), None, "2", ("a", "2")),
        (("a", "1"), "b", None, ("b", None)),
        (("a", "1"), "", None, (None, None)),  # removed
        (("a", "1"), "", "2", (None, None)),
    ],
)
def test_files_by_path_and_version(spec, member, known, path, version, expected):
    fields = FIELDS[member]
    before = replace(spec, **dict(zip(fields, known, strict=True)))
    given_values = {member: path, FILES[member]: version}
    changed = updated(before, {name: value for name, value in given_values.items() if value is not None})
    assert changed == replace(before, **dict(zip(fields, expected, strict=True)))


@given(st.dictionaries(st.sampled_from(sorted(PLAIN)), st.none()))
def test_an_update_done_twice_is_done_once(spec, chosen):
    request = {member: PLAIN[member] for member in chosen}
    once = updated(spec, request)
    assert updated(once, request) == once
