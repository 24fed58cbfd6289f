"""What boto3 says of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError


@contextmanager
def refused(code: str, words: str = "", *, status: int | None = None) -> Iterator[None]:
    """The block fails with this error code, and with these words in the message."""
    with pytest.raises(ClientError) as caught:
        yield
    response = caught.value.response
    assert response["Error"]["Code"] == code, response
    assert words in response["Error"]["Message"]
    if status is not None:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status
