"""Operations on the account as a whole."""

from __future__ import annotations

from aerodrome.api.query.call import Call, Output
from aerodrome.model.iam.quotas import QUOTAS


def get_account_summary(call: Call) -> Output:
    """Counts and quotas; the count of what Aerodrome does not have is 0."""
    iam = call.iam
    counts = {
        "Users": len(iam.users),
        "Groups": len(iam.groups),
        "Roles": len(iam.roles),
        "Policies": len(iam.policies),
        "PolicyVersionsInUse": sum(len(policy.versions) for policy in iam.policies.values()),
        "Providers": len(iam.providers),
        "InstanceProfiles": 0,
        "ServerCertificates": 0,
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "AccountMFAEnabled": 0,
        "AccountAccessKeysPresent": 0,
        "AccountPasswordPresent": 0,
        "AccountSigningCertificatesPresent": 0,
        "GlobalEndpointTokenVersion": 2,
    }
    return {"SummaryMap": {**counts, **QUOTAS}}


def list_account_aliases(_call: Call) -> Output:
    """The account has no aliases."""
    return {"AccountAliases": [], "IsTruncated": False}
