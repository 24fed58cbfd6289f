"""Operations of MWAA that this release does not offer: each answers with a declared error and an honest sentence."""

from __future__ import annotations

from typing import Any

from aerodrome.api.doors import Doors
from aerodrome.api.operations import find
from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model.environment import Document


def update_environment(doors: Doors, given: Document) -> dict[str, Any]:
    """Refused until updates can be verified beside the running release."""
    environment = find.by_name(doors, given["Name"])
    raise CallerError(
        f"UpdateEnvironment is not offered by this release of Aerodrome yet; nothing of '{environment.name}' was "
        "changed. Delete the environment and create it anew with the wanted settings."
    )


def create_web_login_token(doors: Doors, given: Document) -> dict[str, Any]:
    """Refused until the gateway exists."""
    environment = find.by_name(doors, given["Name"])
    raise CallerError(
        f"CreateWebLoginToken is not offered by this release of Aerodrome yet. Use InvokeRestApi to reach Airflow in "
        f"'{environment.name}'."
    )


def create_cli_token(_doors: Doors, given: Document) -> dict[str, Any]:
    """Refused until the gateway exists. ResourceNotFound is the only error that the model declares here."""
    raise NotFoundError(
        "CreateCliToken is not offered by this release of Aerodrome yet, so no CLI endpoint exists for "
        f"'{given['Name']}'. Use InvokeRestApi to reach Airflow."
    )


def publish_metrics(_doors: Doors, _given: Document) -> dict[str, Any]:
    """MWAA's own model calls it internal and no longer available."""
    raise CallerError("PublishMetrics is internal to MWAA and no longer available; nothing was published.")
