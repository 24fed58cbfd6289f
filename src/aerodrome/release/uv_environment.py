"""The environment variables that uv gets: an allow-list of what a person legitimately sets for it and for pip.

Whoever runs uv calls it first. It changes nothing outside.
"""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEPT = frozenset({
    # what any program needs
    "HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
    # the way to the network
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy",
    "NETRC", "SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT",
    # where packages come from, and how; nothing that could choose others, since the lock alone does
    "UV_CACHE_DIR", "UV_CONCURRENT_BUILDS", "UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_HTTP_RETRIES", "UV_HTTP_TIMEOUT", "UV_INDEX",
    "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_LINK_MODE", "UV_NATIVE_TLS",
    "UV_NO_INDEX", "UV_OFFLINE", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_INSTALL_MIRROR",
    "UV_SYSTEM_CERTS",
})  # fmt: skip

_FOR_PIP = frozenset({
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy",
    "PIP_DEFAULT_TIMEOUT", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "UV_INDEX_URL", "UV_NO_INDEX",
})  # fmt: skip

_KEPT_PREFIX = "UV_INDEX_"
"""Credentials of a named index: UV_INDEX_<NAME>_USERNAME and _PASSWORD."""

AUTHORITIES = "SSL_CERT_FILE"
"""The variable that names a file of certificate authorities."""

PERSONAL = (
    "NETRC", "SSL_CLIENT_CERT", "UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_KEYRING_PROVIDER", "UV_LINK_MODE",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
)  # fmt: skip
"""Variables that speak of our own files and programs, and mean nothing to another user."""

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")


@dataclass(frozen=True)
class PipSettings:
    """What pip is told on this machine that uv would otherwise not know."""

    index_url: str | None = None
    cert: str | None = None


def scrubbed(environ: Mapping[str, str], pip: PipSettings) -> dict[str, str]:
    """The environment for uv. uv's own settings win over pip's; nothing of ours or of Python's passes."""
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIX)}
    if pip.index_url and not any(name in kept for name in _INDEX_VARIABLES):
        kept["UV_DEFAULT_INDEX"] = pip.index_url
    if pip.cert and "SSL_CERT_FILE" not in kept:
        kept["SSL_CERT_FILE"] = pip.cert
    return kept


def files(environ: Mapping[str, str]) -> dict[str, Path]:
    """The files that exist by which uv gets passwords, certificates and settings from us, by the variable of each."""
    home = Path(environ.get("HOME", "/nonexistent"))
    usual = {"NETRC": home / ".netrc", "UV_CONFIG_FILE": _config(environ) / "uv" / "uv.toml"}
    named = {name: Path(environ[name]) for name in ("NETRC", "SSL_CLIENT_CERT", "UV_CONFIG_FILE") if environ.get(name)}
    return {name: file for name, file in (usual | named).items() if file.is_file()}


def settings(environ: Mapping[str, str], *, indexes: bool) -> str:
    """What the machine's uv.toml says of package indexes and the way to them, as another uv.toml without credentials.

    This one may be in view of a package that is built. An index that needs credentials is named without them, so that
    uv is refused there and does not take its packages from the public one. `indexes`: whether the machine's indexes
    count at all.
    """
    named, given = told(environ, indexes=indexes)
    return written(_all_bare(named), [_all_bare(index) for index in given])


def written(named: Mapping[str, Any], indexes: Iterable[Mapping[str, Any]]) -> str:
    """A uv.toml with these settings and tables of indexes."""
    lines = [f"{name} = {_in_toml(value)}" for name, value in named.items()]
    for index in indexes:
        lines += ["", "[[index]]", *(f"{name} = {_in_toml(value)}" for name, value in index.items())]
    return "\n".join([*lines, ""])


def _in_toml(value: object) -> str:
    """A truth, a text or a list of texts, which TOML has as JSON has them, but for halves of characters and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def withholds(environ: Mapping[str, str], *, indexes: bool) -> bool:
    """Whether `settings` leaves credentials out of an address."""
    named, given = told(environ, indexes=indexes)
    return any(_bare(value) != value for table in (named, *given) for value in table.values())


def told(environ: Mapping[str, str], *, indexes: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Of the machine's uv.toml what a build needs, and its tables of indexes; with credentials."""
    file = files(environ).get("UV_CONFIG_FILE")
    found = _read(file) if file is not None else {}
    named = {name: found[name] for name in _WAYS if isinstance(found.get(name), bool | list)}
    if indexes:
        named |= {name: found[name] for name in _INDEXES if name in found}
    given = found.get("index") if indexes else None
    tables = [
        {name: index[name] for name in _OF_INDEX if name in index}
        for index in (given if isinstance(given, list) else ())
        if isinstance(index, dict) and isinstance(index.get("url"), str)
    ]
    return _simple(named), [_simple(table) for table in tables]


def asks_a_keyring(environ: Mapping[str, str]) -> bool:
    """Whether the machine's owner has uv ask a keyring for the passwords of indexes."""
    file = files(environ).get("UV_CONFIG_FILE")
    named = environ.get("UV_KEYRING_PROVIDER") or (_read(file).get("keyring-provider") if file is not None else None)
    return named not in {None, "", "disabled"}


_WAYS = ("allow-insecure-host", "native-tls", "system-certs", "offline")
_INDEXES = ("index-url", "extra-index-url", "no-index", "find-links", "index-strategy")
_OF_INDEX = ("name", "url", "default", "explicit", "format")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError):
        return {}  # uv will say what is wrong with it


def _simple(table: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is a truth, a text or a list of texts, as all is that uv knows there."""
    return {
        name: value
        for name, value in table.items()
        if isinstance(value, bool | str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))
    }


_SEPARATED = re.compile(r"[^\s,]+://[^\s,]+")
"""An address in a list of them."""

_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[/\\]*)[^/?#\\]*@")
_QUERY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:[^?#]*)[?#].*", re.DOTALL)


def _bare(value: object) -> object:
    """The same without what may be credentials in an address: the user before its host, and its query."""
    if isinstance(value, list):
        return [_bare(each) for each in value]
    return _QUERY.sub(r"\1", _USER.sub(r"\1", value.strip(), count=1)) if isinstance(value, str) else value


def _all_bare(table: Mapping[str, Any]) -> dict[str, object]:
    return {name: _bare(value) for name, value in table.items()}


def for_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """How somebody's own pip or uv reaches the package index, without the credentials in addresses.

    An index that asks for some then refuses, and no package is taken from the public one in its place.
    """
    settings = pip_settings(environ)
    named = {"PIP_INDEX_URL": settings.index_url, "PIP_CERT": settings.cert}
    passed = {name: value for name, value in environ.items() if name in _FOR_PIP}
    found = passed | {name: value for name, value in named.items() if value}
    bare = {name: _SEPARATED.sub(lambda each: str(_bare(each[0])), value) for name, value in found.items()}
    return {name: value for name, value in bare.items() if "@" not in value}


def pip_settings(environ: Mapping[str, str]) -> PipSettings:
    """Pip's index and certificate, from its variables, else from its configuration files, the most personal one first.

    Extra indexes are left out on purpose: uv asks an extra index first and would miss releases that the index lacks.
    """
    parsers = [_parsed(path) for path in _files(environ)]
    return PipSettings(
        index_url=environ.get("PIP_INDEX_URL") or _first(parsers, "index-url"),
        cert=environ.get("PIP_CERT") or _first(parsers, "cert"),
    )


def _files(environ: Mapping[str, str]) -> list[Path]:
    home, config = Path(environ.get("HOME", "/nonexistent")), _config(environ)
    named = environ.get("PIP_CONFIG_FILE")
    files = [Path(named)] if named else []
    return [*files, config / "pip" / "pip.conf", home / ".pip" / "pip.conf", Path("/etc/pip.conf")]


def _config(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/nonexistent")) / ".config")


def _parsed(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        # A file that pip could not read either holds no setting; uv will say what it misses.
        return configparser.RawConfigParser()
    return parser


def _first(parsers: Iterable[configparser.RawConfigParser], option: str) -> str | None:
    for parser in parsers:
        for section in ("install", "global"):
            value = parser.get(section, option, fallback="").strip()
            if value:
                return value
    return None
