"""How one value of a policy compares with one value of a request, by operator; and which values an operator takes.

`conditions` calls it, and handles negation, sets and missing keys. If a request's value has the wrong shape, it
compares with nothing.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

from aerodrome.identity.policy import patterns

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Read = TypeVar("_Read", Decimal, datetime)

_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")
_EPOCH = re.compile(r"[0-9]{5,11}")
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One kind of comparison: `test(policy's value, request's value)`."""

    test: Callable[[str, str], bool]
    usable: Callable[[str], bool]
    """Whether a policy may have the value."""
    variables: bool = False
    """Texts and ARNs may hold policy variables; nothing else may."""
    wildcards: bool = False


def is_boolean(text: str) -> bool:
    return text.lower() in {"true", "false"}


@lru_cache(maxsize=1024)
def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@lru_cache(maxsize=1024)
def _instant(text: str) -> datetime | None:
    """A date in one of W3C's profiles of ISO 8601, or in seconds since 1970; without a zone it is UTC."""
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text), UTC)
        match = _DATE.fullmatch(text)
        if match is None:
            return None
        parts = [int(match[name] or least) for name, least in _PARTS]
        found = datetime(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], tzinfo=UTC)
        if match["zone"] and match["zone"] != "Z":
            found = datetime.fromisoformat(f"{found:%Y-%m-%dT%H:%M:%S}{match['zone']}")
    except (ValueError, OverflowError):
        return None
    return found


_PARTS = (("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0), ("second", 0))


@lru_cache(maxsize=1024)
def _network(text: str) -> Network | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - _MAPPED_BITS}", strict=False)
    return network


_MAPPED_BITS = 96


def _in_network(wanted: str, found: str) -> bool:
    network, address = _network(wanted), _network(found)
    if network is None or address is None or "/" in found or network.version != address.version:
        return False
    return address.network_address in network


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _same_bytes(wanted: str, found: str) -> bool:
    value = _binary(found)
    return value is not None and _binary(wanted) == value


def _is_arn_pattern(text: str) -> bool:
    return text == "*" or (text.startswith("arn:") and text.count(":") >= patterns.ARN_SEGMENTS - 1)


def _ordered(read: Callable[[str], _Read | None], compare: Callable[[_Read, _Read], bool]) -> Comparison:
    def test(wanted: str, found: str) -> bool:
        limit, value = read(wanted), read(found)
        return limit is not None and value is not None and compare(value, limit)

    return Comparison(test=test, usable=lambda text: read(text) is not None)


def _anything(_: str) -> bool:
    return True


_ARN = Comparison(test=patterns.arn_matches, usable=_is_arn_pattern, variables=True, wildcards=True)
_STRING = Comparison(test=operator.eq, usable=_anything, variables=True)
_STRING_ANY_CASE = Comparison(
    test=lambda wanted, found: wanted.lower() == found.lower(), usable=_anything, variables=True
)
_STRING_LIKE = Comparison(test=patterns.matches, usable=_anything, variables=True, wildcards=True)
_NUMERIC = _ordered(_number, operator.eq)
_DATED = _ordered(_instant, operator.eq)
_ADDRESS = Comparison(test=_in_network, usable=lambda text: _network(text) is not None)

POSITIVE: Mapping[str, Comparison] = {
    "StringEquals": _STRING,
    "StringEqualsIgnoreCase": _STRING_ANY_CASE,
    "StringLike": _STRING_LIKE,
    "NumericEquals": _NUMERIC,
    "NumericLessThan": _ordered(_number, operator.lt),
    "NumericLessThanEquals": _ordered(_number, operator.le),
    "NumericGreaterThan": _ordered(_number, operator.gt),
    "NumericGreaterThanEquals": _ordered(_number, operator.ge),
    "DateEquals": _DATED,
    "DateLessThan": _ordered(_instant, operator.lt),
    "DateLessThanEquals": _ordered(_instant, operator.le),
    "DateGreaterThan": _ordered(_instant, operator.gt),
    "DateGreaterThanEquals": _ordered(_instant, operator.ge),
    "Bool": Comparison(test=lambda wanted, found: wanted.lower() == found.lower(), usable=is_boolean),
    "BinaryEquals": Comparison(test=_same_bytes, usable=lambda text: _binary(text) is not None),
    "IpAddress": _ADDRESS,
    "ArnEquals": _ARN,
    "ArnLike": _ARN,
}
"""Operator → comparison. ArnEquals and ArnLike are the same in IAM."""

NEGATED: Mapping[str, Comparison] = {
    "StringNotEquals": _STRING,
    "StringNotEqualsIgnoreCase": _STRING_ANY_CASE,
    "StringNotLike": _STRING_LIKE,
    "NumericNotEquals": _NUMERIC,
    "DateNotEquals": _DATED,
    "NotIpAddress": _ADDRESS,
    "ArnNotEquals": _ARN,
    "ArnNotLike": _ARN,
}
"""Operator → the comparison that must not hold."""
