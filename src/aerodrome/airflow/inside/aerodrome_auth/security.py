"""Airflow 2's security manager: the gateway's token on each request names the user, who is made when first seen.

No session is opened: identity comes with each request, so a role that the gateway takes away is gone at once. The
rights of the roles are Flask-AppBuilder's own rows. Of the five roles that IAM grants, a user has the token's alone;
roles that an environment's Admin has made and given to the user stay, as on MWAA.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import hashlib
import logging
from typing import Any

from airflow.configuration import conf
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask import g, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.views import AuthRemoteUserView
from sqlalchemy import select

from .token import ROLES, TokenVerifier

SCHEME = "Bearer "
NAME_LIMIT = 64
"""Characters; a longer user name is hashed, as MWAA does."""

LOGIN = "/aws_mwaa/aws-console-sso"

NO_RIGHT = frozenset({("can_nothing", "Nothing")})
"""For users without any right: Airflow reads an empty set as "not looked up yet"."""

BEING_FOUND = "aerodrome_user_being_found"
"""Set in Flask's `g` while the user of this request is found out."""

log = logging.getLogger(__name__)


def _nobody(user_id: str) -> None:
    """The user of a session: none."""
    del user_id


class GatewayView(AuthRemoteUserView):  # type: ignore[misc]  # known at run time only
    """Logs nobody in, because the gateway does. The configuration says where a logout leads."""

    @expose("/login/")  # type: ignore[untyped-decorator]  # as above
    def login(self) -> Any:
        """To the gateway's login; a known user comes here for lack of a right, and goes to the start."""
        if g.user is not None and g.user.is_authenticated:
            return redirect(self.appbuilder.get_url_for_index)
        return redirect(LOGIN)


class GatewaySecurityManager(FabAirflowSecurityManagerOverride):  # type: ignore[misc]  # known at run time only
    """Believe the gateway."""

    authremoteuserview = GatewayView

    def create_login_manager(self) -> Any:
        self._gateway = TokenVerifier(
            jwks=conf.get("aerodrome", "gateway_jwks"),
            issuer=conf.get("aerodrome", "gateway_issuer"),
            audience=conf.get("aerodrome", "gateway_audience"),
        )
        manager = super().create_login_manager()
        manager.request_loader(self._user_of)
        # A session would name a user too; tasks could get the environment's key that signs it.
        manager.user_loader(_nobody)
        return manager

    def _user_of(self, request: Any) -> Any:
        """The user of a request; None when the token is missing or not the gateway's."""
        if g.get(BEING_FOUND, False):
            return None  # asked by Flask-AppBuilder 4.5.2, which notes who adds a user while that very user is added
        setattr(g, BEING_FOUND, True)
        try:
            return self._found(request)
        finally:
            setattr(g, BEING_FOUND, False)

    def _found(self, request: Any) -> Any:
        header = request.headers.get("Authorization", "")
        if not header.startswith(SCHEME):
            return None
        try:
            subject, role_name = self._gateway.identify(header[len(SCHEME) :].strip())
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever error a hostile token causes in the library, the answer is the same.
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
            # Of two first requests at the same time, one comes too late and finds the other's row.
            user = self.find_user(username=name)
        if user is None or not user.is_active:
            return None
        roles = {role, *(other for other in user.roles if other.name not in ROLES)}
        if set(user.roles) != roles:
            user.roles = list(roles)
            self.update_user(user)
        # The same user may ask with another role at the same moment, and both have one row.
        user._perms = self._rights(roles) or NO_RIGHT  # noqa: SLF001 - where Airflow keeps them for a request
        return user

    def _rights(self, roles: set[Any]) -> set[Any]:
        """The (action, resource) pairs of these roles."""
        rights = (
            select(self.action_model.name, self.resource_model.name)
            .join(self.permission_model.action)
            .join(self.permission_model.resource)
            .join(self.permission_model.role)
            .where(self.role_model.id.in_([role.id for role in roles]))
        )
        return {(action, resource) for action, resource in self.get_session.execute(rights)}
