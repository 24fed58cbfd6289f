"""One AssumeRole at the configured endpoint.

`credentials` calls it through a closure that `process` makes. The source keys come from the configuration, or from
botocore's ambient chain, whose modules are only loaded when it is asked for.
"""

from __future__ import annotations

import http.client
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from aerodrome.errors import BrokenError
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.credentials import RoleCredentials
from aerodrome.sidecar.signed_http import AwayError, AwsEndpoint, AwsRequest, parse_xml

DURATION = 3600
"""Seconds: STS's default, within every role's maximum, and the limit when one role assumes another."""

STS_VERSION = "2011-06-15"

ANSWER_LIMIT = 64 * 1024
"""Bytes; a real answer has about 1500."""


def role(endpoint: AwsEndpoint, *, role_arn: str, session_name: str, source: AccessKeys) -> RoleCredentials:
    """Assume the role with the source keys.

    Raises:
        AwayError: the service does not answer.
        RefusalError: the service denies the role.
    """
    form = {
        "Action": "AssumeRole",
        "Version": STS_VERSION,
        "RoleArn": role_arn,
        "RoleSessionName": session_name,
        "DurationSeconds": str(DURATION),
    }
    request = AwsRequest(
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        body=urlencode(form, quote_via=quote).encode(),
    )
    try:
        with endpoint.send(request, source) as response:
            return _parsed(response.read(ANSWER_LIMIT), role_arn)
    except (OSError, http.client.HTTPException) as error:
        raise endpoint.away(error) from error
    finally:
        endpoint.close()  # the next one is half an hour away


def ambient() -> Callable[[], AccessKeys]:
    """The keys that botocore finds for this process (profile, container, instance), looked up anew for each use."""
    import botocore.exceptions  # noqa: PLC0415 - 11 MB that only the real AWS needs
    import botocore.session  # noqa: PLC0415 - the same

    session = botocore.session.Session()

    def keys() -> AccessKeys:
        try:
            found = session.get_credentials()
            if found is None:
                raise BrokenError(
                    "no AWS credentials are found to assume the execution role with", code="NoCredentials"
                )
            frozen = found.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise AwayError(f"the ambient AWS credentials cannot be read: {type(error).__name__}") from error
        return AccessKeys(frozen.access_key or "", frozen.secret_key or "", frozen.token)

    return keys


def _parsed(document: bytes, role_arn: str) -> RoleCredentials:
    """The answer's credentials. Whatever is wrong with it, no message has its text, which holds a secret."""
    try:
        root = parse_xml(document)
        found = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
        keys = AccessKeys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
        expiration = datetime.fromisoformat(found["Expiration"])
    except (ET.ParseError, KeyError, ValueError):
        raise AwayError("sts answers AssumeRole with a document that holds no credentials") from None
    if expiration.tzinfo is None:
        expiration = expiration.replace(tzinfo=UTC)
    return RoleCredentials(keys, expiration, role_arn)
