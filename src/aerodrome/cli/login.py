"""`aerodrome login`: a one-time link to an environment's UI, for the owner of this machine.

It asks the MWAA API as any client does, with the key of the first administrator in the data folder. The link holds a
token that works once, within a minute.
"""

from __future__ import annotations

from typing import Any

from aerodrome.cli import aws_clients
from aerodrome.errors import CallerError
from aerodrome.model.roles import AirflowRole
from aerodrome.settings import Settings

ROLE_HEADER = "X-Aerodrome-Role"
PAGE = "/aws_mwaa/aws-console-sso?login=true"


def role(name: str) -> AirflowRole:
    """The role of that name, in upper or lower case.

    Raises:
        CallerError: there is no such role.
    """
    for found in AirflowRole:
        if found.lower() == name.lower():
            return found
    raise CallerError(f"--role {name} is no role of Airflow: choose one of {', '.join(AirflowRole)}.")


def link(settings: Settings, port: int, environment: str, wanted: AirflowRole | None) -> str:
    """The address that logs in, with the role that is asked for, or with the highest that IAM grants.

    Raises:
        CallerError: there is no administrator's key, or the API refuses.
        RetryError: the API gives no answer.
    """
    client = aws_clients.client(settings, port, "mwaa")
    if wanted is not None:
        client.meta.events.register("before-call.mwaa.CreateWebLoginToken", _Wanting(wanted))
    with aws_clients.told():
        answer = client.create_web_login_token(Name=environment)
    return f"https://{answer['WebServerHostname']}{PAGE}#{answer['WebToken']}"


class _Wanting:
    """Adds the header that asks for one role, before the request is signed, so that the signature covers it."""

    def __init__(self, role: AirflowRole) -> None:
        self._role = role

    def __call__(self, *, params: dict[str, Any], **_: Any) -> None:
        params["headers"][ROLE_HEADER] = self._role.value
