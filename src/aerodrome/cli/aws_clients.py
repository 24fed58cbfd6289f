"""boto3 clients of the running control plane, as the first administrator; and what their errors mean for a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from aerodrome.aws import clients
from aerodrome.aws.credentials import Credentials
from aerodrome.errors import CallerError, NotFoundError, RetryError
from aerodrome.identity import credentials_file
from aerodrome.settings import AWS, Settings

_NOT_FOUND = frozenset(
    {"ResourceNotFoundException", "NoSuchEntity", "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404"}
)
_SERVER_ERROR = 500


def client(settings: Settings, port: int, service: str) -> Any:
    """A client of one service: ours, or the real AWS where the settings name it and the service is not ours.

    Raises:
        CallerError: there is no administrator's key.
    """
    if settings.aws_endpoint_url == AWS and service not in {"mwaa", "iam", "sts"}:
        return clients.client(clients.configured(settings), service)
    key, secret = credentials_file.read(settings.paths.credentials)
    credentials = Credentials(access_key_id=key, secret_access_key=secret)
    endpoint = clients.Endpoint(region=settings.region, url=settings.url(port), credentials=credentials)
    return clients.client(endpoint, service, Config(inject_host_prefix=False))


@contextmanager
def told() -> Iterator[None]:
    """Within the block, a refusal is for the caller to mend, and a service that does not answer is worth another try.

    Raises:
        NotFoundError: what is asked for does not exist.
        CallerError: the service refuses.
        RetryError: the service gives no answer, or fails itself.
    """
    try:
        yield
    except ClientError as error:
        about: Any = error.response
        found = about.get("Error", {})
        message = found.get("Message") or str(error)
        status = about.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if found.get("Code") in _NOT_FOUND:
            raise NotFoundError(message) from None
        raise (RetryError if status >= _SERVER_ERROR else CallerError)(message) from None
    except BotoCoreError as error:
        raise RetryError(f"The API gave no answer ({error}).") from error
