"""botocore's installed models of `iam` and `sts`: operations, shapes and the HTTP status of each declared error."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

from botocore.model import OperationModel, ServiceModel

from aerodrome import service_models

Service = Literal["iam", "sts"]

XMLNS: Mapping[Service, str] = {
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
"""The namespaces of answers; a test compares them with the models."""


def model(service: Service) -> ServiceModel:
    """The service model, read once."""
    return service_models.of(service)


@cache
def names(service: Service) -> frozenset[str]:
    """Every operation of the service."""
    return frozenset(model(service).operation_names)


@cache
def operation(service: Service, name: str) -> OperationModel:
    """The model of one operation, which must exist."""
    return model(service).operation_model(name)


@cache
def statuses(service: Service) -> Mapping[str, int]:
    """The HTTP status of each error code that the model has."""
    found = model(service)
    declared = [found.shape_for(name).metadata.get("error") for name in found.shape_names]
    return {error["code"]: error["httpStatusCode"] for error in declared if error}
