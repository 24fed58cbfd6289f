"""boto3 clients for the configured AWS endpoint, with nothing taken from the host's environment or files.

The one exception is a person's choice: `aerodrome.settings.AWS` as the endpoint means the real AWS with the chain of
credentials that boto3 knows. Makes clients only; what they are asked is for the rooms that use them.
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
"""Seconds; the sidecar looks every second, and a request that hangs must not last."""

ATTEMPTS = 3
"""Attempts of one request; the caller's own loop comes again anyway."""

POOL = 16
"""Connections of one client, for as many downloads at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the AWS services are, and as whom they are asked."""

    region: str
    url: str | None
    """None: the real AWS."""
    credentials: Credentials | None
    """None: what boto3 finds on the host, allowed for the real AWS only."""


def configured(settings: Settings, emulator_url: str | None = None) -> Endpoint:
    """The endpoint that the settings name; `emulator_url` is where the embedded emulator answers, if it is that."""
    urls = {EMBEDDED: emulator_url, AWS: None}
    return Endpoint(
        region=settings.region,
        url=urls.get(settings.aws_endpoint_url, settings.aws_endpoint_url),
        credentials=credentials.configured(settings),
    )


def client(endpoint: Endpoint, service: str, more: Config | None = None) -> Any:
    """A client of one service, safe to share between threads; `more` counts more than our usual configuration."""
    session: Any = _session(endpoint)  # the stubs know names of services as literals only
    config = _config(endpoint, service)
    return session.client(service, endpoint_url=endpoint.url, config=config.merge(more) if more else config)


def _session(endpoint: Endpoint) -> boto3.session.Session:
    if endpoint.credentials is None:
        if endpoint.url is not None:
            raise ValueError("the host's credentials are for the real AWS only")
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
    # No proxy of the host's between us and our endpoint, and no bucket in a host name that resolves nowhere.
    ours = Config(
        proxies={},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    path_style = Config(s3={"addressing_style": "path"}) if service == "s3" else Config()
    return common.merge(ours).merge(path_style)
