"""What an environment of a folder is made of, whose it is, and what is never made unasked."""

from __future__ import annotations

from pathlib import Path

import botocore.loaders
import botocore.validate
import pytest
from botocore.model import ServiceModel

from aerodrome.cli import browser
from aerodrome.cli.dev import aws_resources, command, session
from aerodrome.cli.dev.steps import EnvironmentFile
from aerodrome.errors import CallerError
from aerodrome.identity import execution_role
from aerodrome.settings import Settings

MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("mwaa", "service-2"))
FOLDER = Path("/home/ada/shop")
ADDRESS = session.address(FOLDER, Settings(), name=None, bucket=None, role=None)
ENVIRONMENT = {
    "SourceBucketArn": "arn:aws:s3:::aerodrome-dev-shop",
    "DagS3Path": "dags",
    "Tags": {aws_resources.TAG: ADDRESS.mark},
}


class Mwaa:
    """Keeps what it is asked for."""

    def create_environment(self, **request):
        self.asked = request

    def update_environment(self, **request):
        self.asked = request


@pytest.fixture
def mwaa(monkeypatch):
    found = Mwaa()
    monkeypatch.setattr(aws_resources.aws_clients, "client", lambda *_: found)
    return found


def check(operation, request):
    shape = MODEL.operation_model(operation).input_shape
    assert not botocore.validate.ParamValidator().validate(request, shape).has_errors()
    assert set(request) <= set(shape.members)


def test_requests_are_such_as_the_service_model_knows(mwaa):
    here = aws_resources.AwsResources(Settings(), 4560, ADDRESS)
    here.create({EnvironmentFile.STARTUP: "v1"}, {"core.x": "1"}, "3.3.1")
    check("CreateEnvironment", mwaa.asked)
    assert mwaa.asked["StartupScriptS3Path"] == "startup.sh"
    assert mwaa.asked["StartupScriptS3ObjectVersion"] == "v1"
    here.create({}, {}, None)
    assert "AirflowVersion" not in mwaa.asked
    here.update({EnvironmentFile.PLUGINS: "v2"}, [EnvironmentFile.REQUIREMENTS], {}, "2.11.2")
    check("UpdateEnvironment", mwaa.asked)
    assert mwaa.asked["RequirementsS3Path"] == ""
    assert mwaa.asked["AirflowConfigurationOptions"] == {}


def test_a_bucket_that_was_named_is_used_below_a_prefix_only():
    address = session.address(FOLDER, Settings(), name=None, bucket="theirs", role="arn:aws:iam::000000000000:role/r")
    assert (address.bucket, address.dags, address.key(EnvironmentFile.PLUGINS)) == (
        "theirs",
        "shop/dags/",
        "shop/plugins.zip",
    )
    assert (address.role, address.role_arn) == (None, "arn:aws:iam::000000000000:role/r")


def test_our_own_environment_is_taken():
    aws_resources.check_is_ours(ENVIRONMENT, ADDRESS, named=False)


@pytest.mark.parametrize(
    ("change", "named", "words"),
    [
        ({"Tags": {}}, True, "did not make"),
        ({"Tags": {aws_resources.TAG: "another"}}, False, "another folder"),
        ({"SourceBucketArn": "arn:aws:s3:::other"}, True, "--bucket"),
        ({"DagS3Path": "shop/dags"}, True, "--bucket"),
    ],
)
def test_nobody_else_s_environment_is_taken(change, named, words):
    with pytest.raises(CallerError, match=words):
        aws_resources.check_is_ours({**ENVIRONMENT, **change}, ADDRESS, named=named)


def test_a_folder_that_was_moved_is_taken_over_by_name():
    aws_resources.check_is_ours({**ENVIRONMENT, "Tags": {aws_resources.TAG: "another"}}, ADDRESS, named=True)


def test_the_role_may_read_its_own_bucket_and_nothing_of_others():
    document = execution_role.standard_policy("shop", "b", region="eu-west-1", account="123456789012")
    of_s3 = [each for each in document["Statement"] if "s3:GetObject*" in each["Action"]]
    assert [each["Resource"] for each in of_s3] == [["arn:aws:s3:::b", "arn:aws:s3:::b/*"]]
    assert "arn:aws:airflow:eu-west-1:123456789012:environment/shop" in str(document)


@pytest.mark.parametrize("endpoint", ["aws", "http://localhost:4566"])
@pytest.mark.parametrize("given", [(None, None), ("b", None), (None, "r")])
def test_at_somebody_s_endpoint_nothing_is_made_unasked(endpoint, given):
    with pytest.raises(CallerError, match="--bucket and --role"):
        command._check_owner(Settings(aws_endpoint_url=endpoint), *given)
    command._check_owner(Settings(aws_endpoint_url=endpoint), "b", "r")
    command._check_owner(Settings(), *given)


def test_options_are_read():
    assert command.read_options(["core.x=1", " a.b =c=d", "core.y="]) == {"core.x": "1", "a.b": "c=d", "core.y": None}
    for wrong in ("core.x", "x=1", ""):
        with pytest.raises(CallerError, match="--set"):
            command.read_options([wrong])


def test_a_folder_without_anything_is_refused_with_what_is_looked_for(tmp_path):
    (tmp_path / "dags").mkdir()
    assert command._checked(tmp_path) == tmp_path
    with pytest.raises(CallerError, match=f"Did you mean {tmp_path}"):
        command._checked(tmp_path / "dags")
    with pytest.raises(CallerError, match="There is no folder"):
        command._checked(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("environ", "platform", "there"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "w"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "x"}, "darwin", False),
    ],
)
def test_a_browser_is_expected_where_windows_are(environ, platform, there):
    assert browser.is_there(environ, platform) is there
