"""Operations on OpenID Connect providers."""

from __future__ import annotations

from aerodrome.api.iam import shapes
from aerodrome.api.query.call import Call, Output
from aerodrome.model.iam import providers


def create_provider(call: Call) -> Output:
    """Register a provider. Its issuer is not asked yet, because it may start later."""
    given = call.given
    after = call.change(
        lambda iam: providers.create(
            iam,
            given["Url"],
            client_ids=given.get("ClientIDList", ()),
            thumbprints=given.get("ThumbprintList", ()),
            tags=shapes.tags_of(given),
            now=call.now,
        )
    )
    arn = after.arn("oidc-provider", "/", providers.provider_name(given["Url"]))
    return {"OpenIDConnectProviderArn": arn, "Tags": shapes.tags(after.provider(arn).tags)}


def get_provider(call: Call) -> Output:
    found = call.iam.provider(call.given["OpenIDConnectProviderArn"])
    return {
        "Url": found.name,
        "ClientIDList": found.client_ids,
        "ThumbprintList": found.thumbprints,
        "CreateDate": found.created_at,
        "Tags": shapes.tags(found.tags),
    }


def list_providers(call: Call) -> Output:
    arns = sorted(provider.arn for provider in call.iam.providers.values())
    return {"OpenIDConnectProviderList": [{"Arn": arn} for arn in arns]}


def delete_provider(call: Call) -> Output:
    call.change(lambda iam: providers.delete(iam, call.given["OpenIDConnectProviderArn"]))
    return {}


def add_client_id(call: Call) -> Output:
    given = call.given
    call.change(lambda iam: providers.add_client_id(iam, given["OpenIDConnectProviderArn"], given["ClientID"]))
    return {}


def remove_client_id(call: Call) -> Output:
    given = call.given
    call.change(lambda iam: providers.remove_client_id(iam, given["OpenIDConnectProviderArn"], given["ClientID"]))
    return {}


def update_thumbprint(call: Call) -> Output:
    arn, thumbprints = call.given["OpenIDConnectProviderArn"], call.given["ThumbprintList"]
    call.change(lambda iam: providers.update_thumbprints(iam, arn, thumbprints))
    return {}
