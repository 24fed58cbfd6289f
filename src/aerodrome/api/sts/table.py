"""Operation name → what it does; each asks IAM itself. Operations of the model without a row are not offered."""

from __future__ import annotations

from collections.abc import Mapping

from aerodrome.api.query.call import Operation
from aerodrome.api.sts import assume, identities

OPERATIONS: Mapping[str, Operation] = {
    "AssumeRole": assume.assume_role,
    "AssumeRoleWithWebIdentity": assume.assume_role_with_web_identity,
    "GetCallerIdentity": identities.get_caller_identity,
    "GetSessionToken": identities.get_session_token,
    "GetAccessKeyInfo": identities.get_access_key_info,
}
