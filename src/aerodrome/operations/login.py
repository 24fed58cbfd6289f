"""CreateWebLoginToken and CreateCliToken: one-time tokens that the gateway accepts within a minute.

A web token has the role that IAM granted when it was made; the gateway never gives its session a higher one.
"""

from __future__ import annotations

from typing import Any

from aerodrome.model.spec import Document
from aerodrome.model.web_address import web_address
from aerodrome.operations import find, hibernation
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant


def create_web_login_token(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """A token for the page `/aws_mwaa/aws-console-sso` and for `/aws_mwaa/login`."""
    environment = find.with_web_server(deps, given["Name"], "CreateWebLoginToken")
    hibernation.needed(deps.environments, environment, "Somebody logs in.", deps.clock)
    name = grant.principal.airflow_name
    return {
        "WebToken": deps.logins.issue("web", environment.name, grant.airflow_role, grant.principal, now=grant.at),
        "WebServerHostname": web_address(environment, deps.settings, deps.gateway_ports),
        "IamIdentity": name,
        "AirflowIdentity": name,
    }


def create_cli_token(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """A token for `/aws_mwaa/cli`."""
    environment = find.with_web_server(deps, given["Name"], "CreateCliToken")
    hibernation.needed(deps.environments, environment, "Somebody is about to use its command line.", deps.clock)
    return {
        "CliToken": deps.logins.issue("cli", environment.name, None, grant.principal, now=grant.at),
        "WebServerHostname": web_address(environment, deps.settings, deps.gateway_ports),
    }
