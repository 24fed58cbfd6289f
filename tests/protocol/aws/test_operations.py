from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from protocol.aws.cases import CASES
from protocol.aws.world import allow

DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "403",
    "UnauthorizedOperation",
}


def refusal(world, case, made, statements) -> str | None:
    """The code with which the operation is refused to somebody with these statements; None: it is not refused."""
    key = world.user(*statements)
    try:
        case.call(lambda service: world.client(service, key), made)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_operation_is_allowed_by_what_it_needs_and_by_nothing_less(world, made, case):
    full = [allow(action, resource) for action, resource in case.needs]
    assert refusal(world, case, made, full) is None
    for missing in range(len(full)):
        assert refusal(world, case, made, full[:missing] + full[missing + 1 :]) in DENIED
    elsewhere = [allow(action, "arn:aws:s3:::elsewhere/*") for action, _ in case.needs]
    assert refusal(world, case, made, elsewhere) in DENIED
