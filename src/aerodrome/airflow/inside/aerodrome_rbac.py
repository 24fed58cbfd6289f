"""Airflow 1.10's security manager: the gateway's token on each request names the user, who is made when first seen.

As `aerodrome_auth.security` for Airflow 2: no session is opened. Of the five roles that IAM grants, a user has the
token's alone; roles that an environment's Admin has made and given to the user stay.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import hashlib
import logging
from typing import Any

from aerodrome_auth.token import ROLES, TokenVerifier
from airflow.configuration import conf
from airflow.www_rbac.security import AirflowSecurityManager
from flask import g, redirect
from flask_appbuilder import expose
from flask_appbuilder.security.views import AuthRemoteUserView

SCHEME = "Bearer "
NAME_LIMIT = 64
"""Characters; a longer user name is hashed, as MWAA does."""

LOGIN = "/aws_mwaa/aws-console-sso"
LOGOUT = "/aws_mwaa/logout"

log = logging.getLogger(__name__)


def _nobody(user_id: str) -> None:
    """The user of a session: none."""
    del user_id


class Visitor:
    """A user's row for the time of one request, with the roles of that request's token instead of the table's.

    The same user may ask with another role at the same moment, and both have one row.
    """

    is_authenticated = True
    is_anonymous = False

    def __init__(self, row: Any, roles: list[Any]) -> None:
        self._row = row
        self.roles = roles

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


class RbacView(AuthRemoteUserView):  # type: ignore[misc]  # known at run time only
    """Logs nobody in and out: the gateway does."""

    @expose("/login/")  # type: ignore[untyped-decorator]  # as above
    def login(self) -> Any:
        """To the gateway's login; a known user comes here for lack of a right, and goes to the start."""
        if g.user is not None and g.user.is_authenticated:
            return redirect(self.appbuilder.get_url_for_index)
        return redirect(LOGIN)

    @expose("/logout/")  # type: ignore[untyped-decorator]  # as above
    def logout(self) -> Any:
        """To the gateway's logout."""
        return redirect(LOGOUT)


class RbacSecurityManager(AirflowSecurityManager):  # type: ignore[misc]  # known at run time only
    """Believe the gateway."""

    authremoteuserview = RbacView

    def create_login_manager(self, app: Any) -> Any:
        self._verifier = TokenVerifier(
            jwks=conf.get("aerodrome", "gateway_jwks"),
            issuer=conf.get("aerodrome", "gateway_issuer"),
            audience=conf.get("aerodrome", "gateway_audience"),
        )
        manager = super().create_login_manager(app)
        manager.request_loader(self._visitor)
        # A session would name a user too; tasks could get the environment's key that signs it.
        manager.user_loader(_nobody)
        return manager

    def _visitor(self, request: Any) -> Any:
        """The user of a request; None when the token is missing or not the gateway's."""
        header = request.headers.get("Authorization", "")
        if not header.startswith(SCHEME) or g.get("is_made", False):
            return None
        try:
            subject, role_name = self._verifier.identify(header[len(SCHEME) :].strip())
        except Exception as error:  # noqa: BLE001 - see below
            # Whatever error a hostile token causes in the library, the answer is the same.
            log.warning("a token was refused: %s", type(error).__name__)
            return None
        role = self.find_role(role_name)
        if role is None:
            log.error("the role %s does not exist in the database", role_name)
            return None
        row = self._row(subject, role)
        if row is None or not row.is_active:
            return None
        return Visitor(row, [role, *(other for other in row.roles if other.name not in ROLES)])

    def _row(self, subject: str, role: Any) -> Any:
        name = subject if len(subject) <= NAME_LIMIT else hashlib.sha256(subject.encode()).hexdigest()
        user = self.find_user(username=name)
        if user is None:
            # Airflow asks for a row's author while it writes the row, which would lead back here.
            g.is_made = True
            self.add_user(name, subject[:NAME_LIMIT], "-", name + "@aerodrome.invalid", role)
            g.is_made = False
            # Of two first requests at the same time, one comes too late and finds the other's row.
            user = self.find_user(username=name)
        return user


GatewaySecurityManager = RbacSecurityManager
"""How the files of cells that an earlier Aerodrome started name it; they outlive that one."""
