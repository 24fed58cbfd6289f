"""The variables that a client needs to reach Aerodrome instead of AWS. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from aerodrome.identity import credentials_file
from aerodrome.settings import AWS, Settings

HIDING = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables that would win over a profile."""


def exports(settings: Settings, port: int) -> dict[str, str]:
    """The variables of boto3, the AWS CLI and Terraform; the key itself stays in the administrator's profile file.

    With the real AWS only MWAA is redirected: its requests need the profile, those of other services need a key of
    AWS's.

    Host prefixes are switched off because `api.127.0.0.1` is no name; a wildcard DNS name needs no such switch.
    Terraform does not know the switch, and needs the line in docs/terraform.md.
    """
    endpoint = settings.url(port)
    common = {
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_REGION": settings.region,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    }
    if settings.aws_endpoint_url == AWS:
        return {"AWS_ENDPOINT_URL_MWAA": endpoint, **common}
    profile = {"AWS_SHARED_CREDENTIALS_FILE": str(settings.paths.credentials), "AWS_PROFILE": credentials_file.PROFILE}
    return {"AWS_ENDPOINT_URL": endpoint, **common, **profile}


def as_shell(variables: Mapping[str, str]) -> str:
    """Lines for `eval "$(aerodrome env)"`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([f"unset {' '.join(HIDING)}", *lines] if "AWS_PROFILE" in variables else lines)
