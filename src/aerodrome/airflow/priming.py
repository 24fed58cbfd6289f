"""What a version's primed process runs, and which environments' units may be forked from it.

It imports Airflow once for all of them, with the configuration of an environment that nobody has made, and notes what
it asks for meanwhile: options, modules, packages. It is no choice for an environment that answers one of these
otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aerodrome.airflow import added_packages, option_variables, units, versions
from aerodrome.airflow.added_packages import AskedNames
from aerodrome.airflow.context import INSIDE, JWT_SECRET_BYTES, Context, Database
from aerodrome.airflow.inside.aerodrome_unit import likeness

ASKED = "asked.json"
HOME = "home"
LOCAL_SETTINGS = ("airflow_local_settings.py", "airflow_local_settings")
"""A module of the user's that Airflow imports while it is imported itself."""

_NOBODYS = "nobody's"
_NOT_PRIMED = "it is not primed yet"


def is_offered(version: str) -> bool:
    """Whether the version has a primed process; in the lines before 3 most of a start is work of the environment's."""
    return versions.lookup(version).adapter.GAINS_BY_PRIMING


def files(nobody: Context, socket: Path) -> dict[Path, str]:
    """The files that the primed process needs, below the folder of that environment's configuration, with their texts.

    The texts differ from those of another Aerodrome's. The process serves at the socket.
    """
    folder = nobody.configuration
    document = {
        "socket": str(socket),
        "argv": [str(nobody.inside / "boot.py"), "prime", "--report", str(folder / ASKED)],
        "env": units.environment(nobody, component="scheduler", config=folder / units.SHARED),
        "cwd": "/",
        "code": _code(),
        "views": [[str(nobody.home), str(nobody.airflow_home)]],
    }
    return {folder / units.SHARED: shared(nobody), file(folder): json.dumps(document)}


def file(folder: Path) -> Path:
    """What the primed process is started with."""
    return folder / "prime.json"


def socket(folder: Path) -> Path | None:
    """Where the process that is, or is to be, primed in the folder serves; None = none is to be."""
    try:
        return Path(json.loads(file(folder).read_text(encoding="utf-8"))["socket"])
    except (OSError, ValueError):
        return None


def shared(context: Context) -> str:
    """The text of the configuration without secrets that Airflow is imported with."""
    texts = versions.lookup(context.version).adapter.configuration(context)
    return texts[context.configuration / units.SHARED]


def objection(folder: Path, context: Context, code: Iterable[Path]) -> str:
    """Why the units of an environment cannot be forked from the process primed in the folder; empty = they can.

    `code` are the folders with modules of the user's.
    """
    asked = _asked(folder)
    if asked is None:
        return _NOT_PRIMED
    if any(_added(context.variables)):
        return "its startup script sets variables"
    texts = versions.lookup(context.version).adapter.configuration(context)
    differs = likeness.difference(asked.configuration, shared(context), asked.options)
    if differs:
        return f"it sets {differs}"
    early = likeness.of_roles(shared(context), texts.values(), asked.options)
    if early:
        return f"{early} was read before there was an environment"
    return _of_code(asked, context.site, code)


def objection_of_trial(folder: Path, environ: Mapping[str, str], site: Path | None, code: Iterable[Path]) -> str:
    """The same for a trial, which has its options from environment variables."""
    asked = _asked(folder)
    if asked is None:
        return _NOT_PRIMED
    if units.must_start_cold(environ):
        return "a variable is read when a process starts"
    differs = likeness.overridden(asked.configuration, option_variables.options(environ), asked.options)
    return f"it sets {differs}" if differs else _of_code(asked, site, code)


@dataclass(frozen=True)
class _Primed:
    """What a primed process was imported with, and asked for."""

    configuration: str
    options: list[tuple[str, str]]
    packages: AskedNames


def _asked(folder: Path) -> _Primed | None:
    """None = there is no process primed in the folder yet."""
    try:
        told = json.loads((folder / ASKED).read_text(encoding="utf-8"))
        known = (folder / units.SHARED).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    packages = AskedNames(
        modules=set(told["modules"]), namespaces=set(told["namespaces"]), packages=set(told["packages"])
    )
    return _Primed(known, [(section, option) for section, option in told["options"]], packages)


def _of_code(asked: _Primed, site: Path | None, code: Iterable[Path]) -> str:
    if any((each / name).exists() for each in code for name in LOCAL_SETTINGS):
        return "it has an airflow_local_settings module"
    return added_packages.objection(added_packages.look(site), asked.packages)


@cache
def _code() -> str:
    """Names what the process keeps in memory of our own."""
    texts = (path.read_bytes() for path in sorted(INSIDE.rglob("*.py")))
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _added(variables: Mapping[str, Mapping[str, str]]) -> Iterable[bool]:
    return (bool(each) for each in variables.values())


def nobody(version: str, interpreter: Path, folder: Path, airflow_home: Path) -> Context:
    """An environment with every default, and in the place of what differs between environments nothing real.

    The folder is the primed process's own; `airflow_home` is where the units of all environments find theirs.
    """
    return Context(
        name=_NOBODYS,
        region="us-east-1",
        account_id="000000000000",
        version=version,
        interpreter=interpreter,
        home=folder / HOME,
        airflow_home=airflow_home,
        configuration=folder,
        dags=airflow_home / "dags",
        plugins=airflow_home / "plugins",
        logs=airflow_home / "logs",
        unit_logs=folder,
        run=folder,
        temporary=folder / HOME,
        web_socket=folder / _NOBODYS,
        jwks=folder / _NOBODYS,
        database=Database(host="/", name=_NOBODYS, user=_NOBODYS, password=_NOBODYS),
        broker_url="redis://nobodys",
        result_backend_url="redis://nobodys",
        fernet_key=_NOBODYS,
        jwt_secret="-" * JWT_SECRET_BYTES,
        secret_key=_NOBODYS,
        execution_port=1,
        gateway_audience=_NOBODYS,
        base_url="https://nobodys",
        gid=0,
    )
