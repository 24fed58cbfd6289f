"""What a client must have in its environment to reach Aerodrome instead of AWS. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from aerodrome.settings import AWS, EMBEDDED, Settings


def exports(settings: Settings, port: int) -> dict[str, str]:
    """The variables of boto3, the AWS CLI and Terraform.

    Host prefixes are switched off because `api.127.0.0.1` is no name; whoever has a wildcard DNS name needs no switch.
    """
    endpoint = settings.url(port)
    common = {
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }
    if settings.aws_endpoint_url == AWS:
        return {"AWS_ENDPOINT_URL_MWAA": endpoint, **common}
    variables = {"AWS_ENDPOINT_URL": endpoint, **common}
    if settings.aws_endpoint_url == EMBEDDED:
        # The emulator knows no users yet, and the listener is bound to loopback; any key would do.
        variables |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return variables


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines for `eval "$(aerodrome env)"`."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
