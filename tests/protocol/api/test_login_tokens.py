"""CreateWebLoginToken, CreateCliToken and InvokeRestApi act in the caller's name, with the role that IAM granted."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.api import mwaa as door
from aerodrome.model.lifecycle import WITH_WEB_SERVER, Status
from aerodrome.model.principals import Principal, PrincipalKind

ROLES = ["Admin", "Op", "User", "Viewer", "Public"]
ROLE = "arn:aws:airflow:us-east-1:000000000000:role/demo"


@pytest.fixture
def demo(mwaa: Any, behind: Any, creation: dict[str, Any]) -> Any:
    mwaa.create_environment(**creation)
    behind.change("demo", status=Status.AVAILABLE)
    return mwaa


def on(*resources: str) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": ["airflow:CreateWebLoginToken", "airflow:InvokeRestApi"],
        "Resource": list(resources),
    }


def test_a_web_token_says_who_and_where(demo: Any, behind: Any) -> None:
    answer = demo.create_web_login_token(Name="demo")
    issued = behind.logins.issued[answer["WebToken"]]

    assert (answer["IamIdentity"], answer["AirflowIdentity"]) == ("user/admin", "user/admin")
    assert answer["WebServerHostname"] == "00000001.us-east-1.airflow.localhost"
    assert (issued.kind, issued.environment, issued.role) == ("web", "demo", "Admin")
    assert issued.principal.arn == "arn:aws:iam::000000000000:user/admin"


def test_the_address_has_the_listeners_port(mwaa: Any, creation: dict[str, Any], behind: Any) -> None:
    mwaa.create_environment(**creation, WebserverAccessMode="PUBLIC_ONLY")
    behind.change("demo", status=Status.AVAILABLE)

    expected = "00000001.us-east-1.airflow.localhost:4562"
    assert mwaa.create_web_login_token(Name="demo")["WebServerHostname"] == expected
    assert mwaa.create_cli_token(Name="demo")["WebServerHostname"] == expected
    assert mwaa.get_environment(Name="demo")["Environment"]["WebserverUrl"] == expected


def test_a_cli_token_has_no_role(demo: Any, behind: Any) -> None:
    issued = behind.logins.issued[demo.create_cli_token(Name="demo")["CliToken"]]

    assert (issued.kind, issued.environment, issued.role) == ("cli", "demo", None)


@pytest.mark.parametrize("role", ROLES)
def test_the_highest_granted_role_is_taken(demo: Any, behind: Any, role: str) -> None:
    lower = [f"{ROLE}/{each}" for each in ROLES[ROLES.index(role) :]]
    behind.grant(on(*lower))
    answer = demo.create_web_login_token(Name="demo")
    demo.invoke_rest_api(Name="demo", Path="/dags", Method="GET")

    assert behind.logins.issued[answer["WebToken"]].role == role
    assert behind.rest_identities == [("user/admin", role)]
    assert behind.audited[-1].resource == f"{ROLE}/{role}"


def test_a_denied_role_is_passed_over(demo: Any, behind: Any) -> None:
    behind.grant(on(f"{ROLE}/*"), {"Effect": "Deny", "Action": "airflow:*", "Resource": f"{ROLE}/Admin"})
    answer = demo.create_web_login_token(Name="demo")

    assert behind.logins.issued[answer["WebToken"]].role == "Op"


@pytest.mark.parametrize("resource", [f"{ROLE}/Root", f"{ROLE}/admin", f"{ROLE.replace('demo', 'other')}/*", ROLE])
def test_other_resources_grant_nothing(demo: Any, behind: Any, resource: str) -> None:
    behind.grant(on(resource))
    with pytest.raises(ClientError, match="not authorized to perform: airflow:CreateWebLoginToken") as error:
        demo.create_web_login_token(Name="demo")

    assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert behind.logins.issued == {}


def wanting(client: Any, role: str) -> None:
    client.meta.events.register("before-call", lambda params, **_: params["headers"].update({door.WANTED_ROLE: role}))


def test_a_lower_role_may_be_wanted(demo: Any, behind: Any) -> None:
    wanting(demo, "Viewer")
    answer = demo.create_web_login_token(Name="demo")

    assert behind.logins.issued[answer["WebToken"]].role == "Viewer"


def test_a_higher_role_is_not_granted_by_wanting_it(demo: Any, behind: Any) -> None:
    behind.grant(on(f"{ROLE}/Viewer"))
    wanting(demo, "Admin")
    with pytest.raises(ClientError) as error:
        demo.create_web_login_token(Name="demo")

    assert error.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize("role", ["Root", "", "*", "Viewer/../Admin"])
def test_a_role_that_is_none_cannot_be_wanted(demo: Any, behind: Any, role: str) -> None:
    wanting(demo, role)
    with pytest.raises(ClientError) as error:
        demo.create_web_login_token(Name="demo")

    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert behind.logins.issued == {}


@pytest.mark.parametrize("status", [each for each in Status if each not in WITH_WEB_SERVER | {Status.DELETED}])
@pytest.mark.parametrize(
    ("operation", "code"),
    [("create_web_login_token", "ValidationException"), ("create_cli_token", "ResourceNotFoundException")],
)
def test_an_environment_that_is_not_available(
    demo: Any, behind: Any, status: Status, operation: str, code: str
) -> None:
    behind.change("demo", status=status)
    with pytest.raises(ClientError, match="needs one that is AVAILABLE") as error:
        getattr(demo, operation)(Name="demo")

    assert error.value.response["Error"]["Code"] == code
    assert behind.logins.issued == {}


def test_an_absent_environment_is_told_to_those_who_may_log_in(mwaa: Any) -> None:
    for operation in (mwaa.create_web_login_token, mwaa.create_cli_token):
        with pytest.raises(ClientError) as error:
            operation(Name="absent")
        assert error.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_long_names_fit_airflow_and_stay_apart() -> None:
    def named(name: str) -> str:
        principal = Principal(kind=PrincipalKind.ASSUMED_ROLE, account="0", arn="a", unique_id="u", name=name)
        return principal.airflow_name

    assert named("Engineer") == "assumed-role/Engineer"
    assert len(named("x" * 51)) == 64
    assert len(named("x" * 64)) == 64
    assert named("x" * 63 + "a") != named("x" * 63 + "b")
