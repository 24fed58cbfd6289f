"""Airflow 3's auth manager: the gateway says who asks, `permissions` says what they may do.

It has no login page, no database and no cookie of its own. The gateway's session is the only one, and what the gateway
decides counts from the next request on. A token signed with the environment's own secret, which tasks could get, means
nothing here.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from typing import Any

import jwt
from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.configuration import conf
from fastapi import HTTPException

from . import permissions
from .token import TokenVerifier

LOGIN = "/aws_mwaa/aws-console-sso"
LOGOUT = "/aws_mwaa/logout"
NO_TOKENS = "This environment makes no tokens of its own. Ask the MWAA API: CreateWebLoginToken, or InvokeRestApi."


class GatewayUser(BaseUser):  # type: ignore[misc]  # Airflow is known at run time only
    """A user for the time of one request."""

    def __init__(self, name: str, role: str) -> None:
        self.name = name
        self.role = role

    def get_id(self) -> str:
        return self.name

    def get_name(self) -> str:
        return self.name


class GatewayAuthManager(BaseAuthManager):  # type: ignore[misc]  # Airflow is known at run time only
    """Authorise by the role that the gateway's token names."""

    def init(self) -> None:
        super().init()
        self._gateway = TokenVerifier(
            jwks=conf.get("aerodrome", "gateway_jwks"),
            issuer=conf.get("aerodrome", "gateway_issuer"),
            audience=conf.get("aerodrome", "gateway_audience"),
        )

    async def get_user_from_token(self, token: str) -> GatewayUser:
        """The user of a request.

        Raises:
            jwt.InvalidTokenError: which Airflow answers with 401 or 403.
        """
        try:
            return GatewayUser(*self._gateway.identify(token))
        except jwt.InvalidTokenError:
            raise
        except Exception:  # noqa: BLE001 - see below
            # Whatever other error a hostile token causes in the library, the answer is the same.
            raise jwt.InvalidTokenError("the token cannot be read") from None

    def deserialize_user(self, token: dict[str, Any]) -> GatewayUser:
        return GatewayUser(token["sub"], token["role"])

    def serialize_user(self, user: GatewayUser) -> dict[str, Any]:
        return {"sub": user.name, "role": user.role}

    def generate_jwt(self, user: GatewayUser, **_: Any) -> str:
        """Refuse Airflow's own tokens ("Generate token" in the UI): nothing here believes them.

        Raises:
            HTTPException: always, with what to do instead.
        """
        del user
        raise HTTPException(403, NO_TOKENS)

    def revoke_token(self, token: str) -> None:
        """Nothing to revoke: the only session is the gateway's, and the gateway ends it."""

    def get_url_login(self, **_: Any) -> str:
        return LOGIN

    def get_url_logout(self) -> str:
        return LOGOUT

    def is_authorized_configuration(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "configuration", method)

    def is_authorized_connection(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "connection", method)

    def is_authorized_dag(self, *, method: str, user: GatewayUser, access_entity: Any = None, **_: Any) -> bool:
        return permissions.allowed(user.role, "dag", method, access_entity.name if access_entity else None)

    def is_authorized_backfill(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        """Only 3.0 and 3.1 ask for it."""
        return permissions.allowed(user.role, "backfill", method)

    def is_authorized_asset(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "asset", method, "create" if method == "POST" else None)

    def is_authorized_asset_alias(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "asset_alias", method)

    def is_authorized_pool(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "pool", method)

    def is_authorized_variable(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "variable", method)

    def is_authorized_view(self, *, access_view: Any, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "view", permissions.READ, access_view.name)

    def is_authorized_custom_view(self, *, method: str, user: GatewayUser, **_: Any) -> bool:
        return permissions.allowed(user.role, "custom_view", method)

    def filter_authorized_menu_items(self, menu_items: list[Any], *, user: GatewayUser) -> list[Any]:
        return [item for item in menu_items if permissions.sees(user.role, item.name)]
