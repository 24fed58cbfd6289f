"""IAM's directory in the ledger: how it changes, and what it answers when requests are authenticated and authorised.

The directory is also in memory, immutable, so that a read costs microseconds; one control plane process writes it.
Each change is one transaction: the rules (`model.iam`) make the next directory, and the difference is written. By its
shape, the class is an `identity.store.IdentityStore`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from aerodrome.ledger import iam_rows
from aerodrome.ledger.schema import environment
from aerodrome.model import arns
from aerodrome.model.iam import grants, holders, identifiers, users
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.iam.entities import KeyUse, Policy
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind

WRITE_LOCK = 4562
"""Key of the advisory lock under which IAM is changed."""

USE_WRITTEN_EVERY = timedelta(minutes=1)
"""The shortest time between two writes of one key's last use."""

ADMINISTRATOR = "administrator"
ADMINISTRATOR_POLICY = "AdministratorAccess"

SERVICE = "airflow-env.amazonaws.com"
"""The name of an environment's own service in policies."""

CHANNEL = "aerodrome_iam"
"""Where PostgreSQL notifies of changes."""

CONTROL_PLANE = "airflow.amazonaws.com"
"""What the control plane is called in policies when it asks an AWS service by itself."""

CONTROL_PLANE_KEY = "AKIAAERODROMECONTROL"  # no environment's: its last letter is not one of theirs

_SERVICE_KEY = re.compile(r"AKIAAERODROME([A-Z2-7]{7})")
"""The access key id of an environment's service: its identifier's 32 bits in base 32."""

log = structlog.get_logger("aerodrome.iam")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A new access key, with its secret, which cannot be read again later."""

    user_name: str
    user_arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


def control_plane_access_key(service_key: bytes) -> tuple[str, str]:
    """The access key with which the control plane asks AWS services: derived and stored nowhere."""
    return CONTROL_PLANE_KEY, _derived_secret(service_key, "control plane access key")


def _derived_secret(service_key: bytes, message: str) -> str:
    digest = hmac.digest(service_key, message.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()[:40]


class Principals:
    """IAM over one engine."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        account: str,
        region: str,
        seal: Callable[[str], bytes],
        service_key: bytes,
        aws_policies: Mapping[str, Policy],
    ) -> None:
        self._engine = engine
        self._seal = seal
        self._service_key = service_key
        self._empty = Directory(partition=arns.partition(region), account=account, aws_policies=aws_policies)
        key_id, secret = control_plane_access_key(service_key)
        self._control_plane = AccessKey(
            access_key_id=key_id,
            sealed_secret=seal(secret),
            principal=Principal(
                kind=PrincipalKind.SERVICE,
                account=account,
                arn=CONTROL_PLANE,
                unique_id=CONTROL_PLANE_KEY,
                name=CONTROL_PLANE,
            ),
            active=True,
        )
        everything = aws_policies[f"arn:{arns.partition(region)}:iam::aws:policy/{ADMINISTRATOR_POLICY}"]
        self._everything = Granted(identity=(PolicyText(source="the control plane", document=everything.document),))
        self._changing = threading.Lock()
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="iam-key-use")
        self._using = threading.Lock()
        with engine.begin() as connection:
            self._directory = iam_rows.read(connection, self._empty)
            self._uses = iam_rows.read_uses(connection)
        self._written = dict(self._uses)

    @property
    def directory(self) -> Directory:
        """IAM as it is now."""
        return self._directory

    def change(self, decide: Change) -> Directory:
        """Change IAM in one transaction and return the new directory; blocks.

        Raises:
            IamError: the rules do not allow the change; nothing was changed.
        """
        with self._changing:
            try:
                with self._engine.begin() as connection:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITE_LOCK)))
                    before = iam_rows.read(connection, self._empty)
                    after = decide(before)
                    iam_rows.write(connection, before, after)
                    connection.execute(sa.text(f"NOTIFY {CHANNEL}"))
            except sa.exc.DBAPIError:
                # The commit may have succeeded all the same: memory must not keep what the ledger has revoked.
                with suppress(sa.exc.DBAPIError), self._engine.begin() as connection:
                    self._directory = iam_rows.read(connection, self._empty)
                raise
            self._directory = after
            return after

    def refresh(self) -> None:
        """Bring in what another process has changed; blocks."""
        with self._engine.begin() as connection:
            self._directory = iam_rows.read(connection, self._empty)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The long-term key with this id, active or not; an environment's key ends with the environment."""
        if access_key_id == CONTROL_PLANE_KEY:
            return self._control_plane
        directory = self._directory
        stored = directory.keys.get(access_key_id)
        if stored is not None:
            user = directory.users_by_id.get(stored.user_id)
            if user is None:
                return None
            return AccessKey(
                access_key_id=access_key_id,
                sealed_secret=stored.sealed_secret,
                principal=grants.user_principal(user, directory.account),
                active=stored.active,
            )
        match = _SERVICE_KEY.fullmatch(access_key_id)
        found = self._service_key_of(base64.b32decode(match[1] + "=").hex()) if match else None
        # Seven characters have three bits to spare: only one spelling is the key.
        return found if found is not None and found.access_key_id == access_key_id else None

    def granted(self, principal: Principal) -> Granted | None:
        """The policies of a principal; None when it no longer exists, or another principal has its name now.

        A service has no policies of its own: it needs only the trust policy of an execution role. A service without an
        environment is MWAA itself; it is asked about before an environment is created. The control plane may do
        everything.
        """
        if principal == self._control_plane.principal:
            return self._everything
        if principal.kind is not PrincipalKind.SERVICE:
            return grants.granted(self._directory, principal)
        exists = principal.environment is None or self._identifier_of(principal.environment) is not None
        return Granted(identity=()) if exists else None

    def trust(self, role_arn: str) -> PolicyText | None:
        """The trust policy of a role; None when there is no such role."""
        return grants.trust(self._directory, role_arn)

    def used(self, access_key_id: str, service: str, region: str, now: datetime) -> None:
        """Note that a key was used; this is written soon, but at most once a minute for each key."""
        if access_key_id not in self._directory.keys:
            return
        use = KeyUse(at=now, service=service, region=region)
        with self._using:
            self._uses[access_key_id] = use
            last = self._written.get(access_key_id)
            if last is not None and now - last.at < USE_WRITTEN_EVERY:
                return
            self._written[access_key_id] = use
        with suppress(RuntimeError):  # closed: the process is about to end
            self._writer.submit(self._write_use, access_key_id, use)

    def last_use(self, access_key_id: str) -> KeyUse | None:
        """When a key was used last; None = never."""
        return self._uses.get(access_key_id)

    def ensure_administrator(
        self, now: datetime, *, keep: Callable[[NewKey], None] = lambda _key: None
    ) -> NewKey | None:
        """Create the first user, with every permission and one access key; None when there are users already.

        `keep` puts the key where its owner finds it, and does so before the user is committed, so that no key is lost.
        If a person has deleted all users, and so locked everybody out, this lets that person in again.
        """
        key_id = identifiers.access_key_id(secrets.token_bytes(identifiers.RANDOM_BYTES))
        secret = identifiers.secret_access_key(secrets.token_bytes(identifiers.RANDOM_BYTES))
        unique_id = identifiers.unique_id(identifiers.USER, secrets.token_bytes(identifiers.RANDOM_BYTES))
        sealed = self._seal(secret)
        policy = f"arn:{self._empty.partition}:iam::aws:policy/{ADMINISTRATOR_POLICY}"
        arn = self._empty.arn("user", "/", ADMINISTRATOR)
        new = NewKey(user_name=ADMINISTRATOR, user_arn=arn, access_key_id=key_id, secret_access_key=secret)

        def first_user(directory: Directory) -> Directory:
            if directory.users:
                return directory
            made = users.create(directory, ADMINISTRATOR, unique_id=unique_id, now=now)
            made = holders.attach(made, made.user(ADMINISTRATOR), policy)
            keep(new)
            return users.create_key(made, ADMINISTRATOR, access_key_id=key_id, sealed_secret=sealed, now=now)

        return new if key_id in self.change(first_user).keys else None

    def service_access_key(self, environment_name: str, identifier: str) -> tuple[str, str]:
        """The access key of an environment's service. It is derived and never stored, and ends with the environment."""
        key_id = "AKIAAERODROME" + base64.b32encode(bytes.fromhex(identifier)).decode().rstrip("=")
        message = f"service access key\n{environment_name}\n{identifier}"
        return key_id, _derived_secret(self._service_key, message)

    def close(self) -> None:
        """Write the last uses of keys that have not been written yet."""
        self._writer.shutdown(wait=True)
        with self._using:
            late = {key: use for key, use in self._uses.items() if self._written.get(key) != use}
        for key, use in late.items():
            self._write_use(key, use)

    def _service_key_of(self, identifier: str) -> AccessKey | None:
        statement = sa.select(environment.c.name).where(environment.c.identifier == identifier)
        with self._engine.begin() as connection:
            name = connection.scalar(statement)
        if name is None:
            return None
        key_id, secret = self.service_access_key(name, identifier)
        principal = Principal(
            kind=PrincipalKind.SERVICE,
            account=self._empty.account,
            arn=SERVICE,
            unique_id=SERVICE,
            name=SERVICE,
            environment=name,
        )
        return AccessKey(access_key_id=key_id, sealed_secret=self._seal(secret), principal=principal, active=True)

    def _identifier_of(self, environment_name: str) -> str | None:
        statement = sa.select(environment.c.identifier).where(environment.c.name == environment_name)
        with self._engine.begin() as connection:
            return connection.scalar(statement)

    def _write_use(self, access_key_id: str, use: KeyUse) -> None:
        try:
            with self._engine.begin() as connection:
                iam_rows.write_use(connection, access_key_id, use)
        except sa.exc.SQLAlchemyError as error:
            log.warning("key_use_not_written", access_key_id=access_key_id, error=type(error).__name__)
