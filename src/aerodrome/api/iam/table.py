"""Operation name → what it does, once IAM allows it. Operations of the model without a row are not offered."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from aerodrome.api.iam import account, groups, holders, permissions, policies, providers, roles, simulation, tags, users
from aerodrome.api.query.call import Blocking, Call, Operation, Output

_BLOCKING: Mapping[str, Blocking] = {
    "CreateUser": users.create_user,
    "GetUser": users.get_user,
    "ListUsers": users.list_users,
    "UpdateUser": users.update_user,
    "DeleteUser": users.delete_user,
    "ListGroupsForUser": users.list_groups_for_user,
    "CreateAccessKey": users.create_access_key,
    "ListAccessKeys": users.list_access_keys,
    "UpdateAccessKey": users.update_access_key,
    "DeleteAccessKey": users.delete_access_key,
    "GetAccessKeyLastUsed": users.get_access_key_last_used,
    "CreateGroup": groups.create_group,
    "GetGroup": groups.get_group,
    "ListGroups": groups.list_groups,
    "UpdateGroup": groups.update_group,
    "DeleteGroup": groups.delete_group,
    "AddUserToGroup": groups.add_user_to_group,
    "RemoveUserFromGroup": groups.remove_user_from_group,
    "CreateRole": roles.create_role,
    "GetRole": roles.get_role,
    "ListRoles": roles.list_roles,
    "UpdateRole": roles.update_role,
    "UpdateRoleDescription": roles.update_role_description,
    "UpdateAssumeRolePolicy": roles.update_assume_role_policy,
    "DeleteRole": roles.delete_role,
    "ListInstanceProfilesForRole": roles.list_instance_profiles_for_role,
    "CreateServiceLinkedRole": roles.create_service_linked_role,
    "DeleteServiceLinkedRole": roles.delete_service_linked_role,
    "CreatePolicy": policies.create_policy,
    "GetPolicy": policies.get_policy,
    "ListPolicies": policies.list_policies,
    "DeletePolicy": policies.delete_policy,
    "CreatePolicyVersion": policies.create_policy_version,
    "GetPolicyVersion": policies.get_policy_version,
    "ListPolicyVersions": policies.list_policy_versions,
    "DeletePolicyVersion": policies.delete_policy_version,
    "SetDefaultPolicyVersion": policies.set_default_policy_version,
    "ListEntitiesForPolicy": policies.list_entities_for_policy,
    **holders.operations("User"),
    **holders.operations("Group"),
    **holders.operations("Role"),
    **tags.operations(),
    "CreateOpenIDConnectProvider": providers.create_provider,
    "GetOpenIDConnectProvider": providers.get_provider,
    "ListOpenIDConnectProviders": providers.list_providers,
    "DeleteOpenIDConnectProvider": providers.delete_provider,
    "AddClientIDToOpenIDConnectProvider": providers.add_client_id,
    "RemoveClientIDFromOpenIDConnectProvider": providers.remove_client_id,
    "UpdateOpenIDConnectProviderThumbprint": providers.update_thumbprint,
    "SimulatePrincipalPolicy": simulation.simulate_principal_policy,
    "SimulateCustomPolicy": simulation.simulate_custom_policy,
    "GetAccountSummary": account.get_account_summary,
    "ListAccountAliases": account.list_account_aliases,
}


def _permitted(name: str, act: Blocking) -> Operation:
    """The operation in a worker thread, because the ledger blocks; IAM is asked first."""

    def checked(call: Call) -> Output:
        permissions.check(call, name)
        return act(call)

    async def run(call: Call) -> Output:
        return await to_thread.run_sync(checked, call)

    return run


OPERATIONS: Mapping[str, Operation] = {name: _permitted(name, act) for name, act in _BLOCKING.items()}
