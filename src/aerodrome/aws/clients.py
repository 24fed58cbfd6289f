"""boto3 clients for the configured AWS endpoint, with nothing taken from the host's environment or files.

The one exception is a person's choice: `aerodrome.settings.AWS` as the endpoint means the real AWS, with boto3's usual
chain of credentials. This module only makes clients; the rooms that use them make the requests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from aerodrome.aws import credentials
from aerodrome.aws.credentials import Credentials
from aerodrome.settings import AWS, EMBEDDED, Settings

CONNECT_TIMEOUT = 3
READ_TIMEOUT = 30
"""Seconds. They are short, because the sidecar looks every second and must not wait long for a request that hangs."""

ATTEMPTS = 3
"""Attempts of one request; the caller's own loop tries again anyway."""

POOL = 16
"""Connections of one client, so that as many downloads can run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the AWS services are, and the credentials for them."""

    region: str
    url: str | None
    """None = the real AWS."""
    credentials: Credentials | None
    """None = what boto3 finds on the host; this is allowed only for the real AWS."""


def configured(settings: Settings, emulator_url: str | None = None) -> Endpoint:
    """The endpoint that the settings name; `emulator_url` is the embedded emulator's URL, if they name that one."""
    urls = {EMBEDDED: emulator_url, AWS: None}
    return Endpoint(
        region=settings.region,
        url=urls.get(settings.aws_endpoint_url, settings.aws_endpoint_url),
        credentials=credentials.configured(settings),
    )


def client(endpoint: Endpoint, service: str, more: Config | None = None) -> Any:
    """A client of one service, safe to share between threads; `more` overrides our usual configuration."""
    session: Any = _session(endpoint)  # the stubs know names of services only as literals
    config = _config(endpoint, service)
    return session.client(service, endpoint_url=endpoint.url, config=config.merge(more) if more else config)


def _session(endpoint: Endpoint) -> boto3.session.Session:
    if endpoint.credentials is None:
        if endpoint.url is not None:
            raise ValueError("the host's credentials are only for the real AWS")
        return boto3.session.Session(region_name=endpoint.region)
    found = endpoint.credentials
    return boto3.session.Session(
        aws_access_key_id=found.access_key_id,
        aws_secret_access_key=found.secret_access_key,
        aws_session_token=found.session_token,
        region_name=endpoint.region,
        botocore_session=_isolated(),
    )


def _isolated() -> botocore.session.Session:
    """A session that reads no configuration file, profile or AWS_* variable of the host."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    variables["config_file"] = variables["credentials_file"] = (None, None, os.devnull, None)
    return botocore.session.Session(session_vars=variables)


def _config(endpoint: Endpoint, service: str) -> Config:
    common = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=POOL,
        user_agent_extra="aerodrome",
    )
    if endpoint.url is None:
        return common
    # No proxy of the host between us and our endpoint, and no bucket in a host name, which would not resolve.
    ours = Config(
        proxies={},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    path_style = Config(s3={"addressing_style": "path"}) if service == "s3" else Config()
    return common.merge(ours).merge(path_style)
