"""Form fields → an operation and its input as Python values, or a ValidationError that names what is wrong.

Fields come flat, in the query (GET) or the body (POST): `Tags.member.1.Key=team`. `query_forms` reads
them by the input shape. Fields that the shape does not know are ignored, as AWS ignores them. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import OperationModel

from aerodrome import query_forms
from aerodrome.api.query import errors, models
from aerodrome.api.wire import constraints, requests
from aerodrome.model.iam.errors import VALIDATION, IamError

MOST_FIELDS = 1000
"""AssumeRole with fifty tags has about two hundred; the rest is for simulations."""

DEEPEST = 8
"""Parts that a field's name may have; no input of the two services has more than five."""

UNSIGNED = "AssumeRoleWithWebIdentity"
"""The one operation without a signature: its token says who asks."""

_OWN = ("Action", "Version")
_SIGNATURE = re.compile(r"X-Amz-", re.IGNORECASE)
_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot have, so that no answer could repeat them."""


def fields(query: str, body: bytes) -> dict[str, str]:
    """All fields of a request, without those of the signature.

    Raises:
        IamError: they are no form, or too many, or one was given twice.
    """
    found: dict[str, str] = {}
    for part in (query.encode("latin-1"), body):
        try:
            pairs = parse_qsl(part.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        except ValueError:
            raise _invalid(f"The request must be a form in UTF-8 of at most {MOST_FIELDS} fields") from None
        for name, value in pairs:
            if _SIGNATURE.match(name):
                continue
            if name in found:
                raise _invalid(f"The field '{_shown(name)}' was given twice: give it once")
            if _UNFIT.search(value) or _UNFIT.search(name):
                raise _invalid(f"The field '{_shown(name)}' has a character that XML does not allow")
            found[name] = value
    return found


def operation(service: models.Service, given: Mapping[str, str]) -> OperationModel:
    """The operation that the fields ask for.

    Raises:
        IamError: InvalidAction or MissingAction.
    """
    action = given.get("Action")
    if action is None:
        raise IamError(errors.MISSING_ACTION, "The request has no field Action: name an operation")
    version = given.get("Version", models.model(service).api_version)
    if action not in models.names(service) or version != models.model(service).api_version:
        sentence = f"Could not find operation {_shown(action)} for version {_shown(version)}"
        raise IamError(errors.INVALID_ACTION, sentence)
    return models.operation(service, action)


def read(wanted: OperationModel, given: Mapping[str, str]) -> dict[str, Any]:
    """The validated input.

    Raises:
        IamError: ValidationError with every violation found, up to a bound.
    """
    shape = wanted.input_shape
    if shape is None:
        return {}
    walk = constraints.Walk({})
    tree = query_forms.tree(given, deepest=DEEPEST, passed_over=_OWN)
    found = walk.read(shape, query_forms.value(shape, tree))
    if walk.sentences:
        raise _invalid(requests.summary(walk.sentences))
    return dict(found)


def _shown(text: str) -> str:
    return _UNFIT.sub("?", text[: constraints.LONGEST_ECHO])


def _invalid(sentence: str) -> IamError:
    return IamError(VALIDATION, sentence)
