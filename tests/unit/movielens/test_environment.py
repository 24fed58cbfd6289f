"""Which environment is asked for, and what is made of its status."""

import botocore.loaders
import botocore.validate
import pytest
from botocore.model import ServiceModel

from examples.movielens import environment, failure

MODEL = ServiceModel(botocore.loaders.Loader().load_service_model("mwaa", "service-2"))


@pytest.mark.parametrize(
    ("asked", "version", "name", "major"),
    [
        ("3.3", "3.3.1", "quickstart-3-3", 3),
        ("3.3.1", "3.3.1", "quickstart-3-3", 3),
        ("2.11", "2.11.2", "quickstart-2-11", 2),
        ("2.11.2", "2.11.2", "quickstart-2-11", 2),
    ],
)
def test_a_line_means_its_offered_version(asked: str, version: str, name: str, major: int):
    wanted = environment.wanted(asked, None)
    assert (wanted.version, wanted.name, wanted.major) == (version, name, major)


def test_what_belongs_to_an_environment_is_named_after_it_within_each_service_rules():
    wanted = environment.wanted("3.3", "My_Env-1")
    assert (wanted.bucket, wanted.role, wanted.database) == ("aerodrome-my-env-1", "My_Env-1-execution", "my_env_1")


def test_the_request_is_one_that_the_service_model_knows():
    arguments = environment.request(
        environment.wanted("2.11", None), bucket_arn="arn:aws:s3:::b", role_arn="arn:aws:iam::000000000000:role/r"
    )
    shape = MODEL.operation_model("CreateEnvironment").input_shape
    assert not botocore.validate.ParamValidator().validate(arguments, shape).has_errors()
    assert set(arguments) <= set(shape.members)


def statuses() -> list[str]:
    return list(MODEL.shape_for("EnvironmentStatus").enum)


def test_every_status_of_the_service_is_either_usable_or_under_way_or_a_failure():
    judged = {}
    for status in statuses():
        try:
            judged[status] = environment.judge({"Name": "e", "Status": status}, environment.COMES_BACK) is not None
        except failure.QuickstartError:
            judged[status] = "failure"
    assert {status for status, judgement in judged.items() if judgement == "failure"} == {
        "CREATE_FAILED",
        "UNAVAILABLE",
        "DELETING",
        "DELETED",
    }
    assert {status for status, judgement in judged.items() if judgement is True} == {"AVAILABLE", "UPDATE_FAILED"}


def test_a_failed_creation_is_told_with_its_reason_and_the_way_out():
    error = {"ErrorCode": "INSTALL_FAILED", "ErrorMessage": "No space left on device"}
    with pytest.raises(failure.QuickstartError, match="INSTALL_FAILED: No space left on device") as told:
        environment.judge({"Name": "e", "Status": "CREATE_FAILED", "LastUpdate": {"Error": error}}, 0)
    assert "aws mwaa delete-environment --name e" in told.value.look


def test_an_environment_that_comes_back_is_awaited_and_who_does_not_is_named():
    found = {"Name": "e", "Status": "UNAVAILABLE"}
    assert environment.judge(found, environment.COMES_BACK - 1) is None
    with pytest.raises(failure.QuickstartError, match="UNAVAILABLE: `aerodrome why e`"):
        environment.judge(found, environment.COMES_BACK)
