"""Airflow 2's security manager: the gateway's token on each request names the user, who is made when first seen.

No session is opened: identity follows the request, so a role that the gateway takes away is gone at once. The rights of
the roles are Flask-AppBuilder's own rows.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import hashlib
import logging
from typing import Any

from airflow.configuration import conf
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride

from .token import Gateway

SCHEME = "Bearer "
NAME_LIMIT = 64
"""Characters; a longer user name is hashed, as MWAA does."""

log = logging.getLogger(__name__)


class GatewaySecurityManager(FabAirflowSecurityManagerOverride):  # type: ignore[misc]  # known at run time only
    """Believe the gateway."""

    def create_login_manager(self) -> Any:
        self._gateway = Gateway(
            jwks=conf.get("aerodrome", "gateway_jwks"),
            issuer=conf.get("aerodrome", "gateway_issuer"),
            audience=conf.get("aerodrome", "gateway_audience"),
        )
        manager = super().create_login_manager()
        manager.request_loader(self._user_of)
        return manager

    def _user_of(self, request: Any) -> Any:
        """The user of a request; None when the token is missing or not the gateway's."""
        header = request.headers.get("Authorization", "")
        if not header.startswith(SCHEME):
            return None
        try:
            subject, role_name = self._gateway.identify(header[len(SCHEME) :].strip())
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever a hostile token makes the library raise, the answer is the same.
            log.warning("a token was refused: %s", type(error).__name__)
            return None
        role = self.find_role(role_name)
        if role is None:
            log.error("the role %s does not exist in the database", role_name)
            return None
        return self._user(subject, role)

    def _user(self, subject: str, role: Any) -> Any:
        name = subject if len(subject) <= NAME_LIMIT else hashlib.sha256(subject.encode()).hexdigest()
        user = self.find_user(username=name)
        if user is None:
            self.add_user(name, subject[:NAME_LIMIT], "-", name + "@aerodrome.invalid", role)
            # Of two first requests at once, one lost the race and finds the other's row.
            user = self.find_user(username=name)
        if user is None or not user.is_active:
            return None
        if user.roles != [role]:
            user.roles = [role]
            self.update_user(user)
        return user
