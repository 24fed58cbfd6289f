"""botocore's installed model of the service `mwaa`: the one source of shapes, constraints and declared errors.

Every other module of this package reads it from here.
"""

from __future__ import annotations

from functools import cache

from botocore.model import OperationModel, ServiceModel

from aerodrome import service_models

SERVICE = "mwaa"

SIGNING_NAME = "airflow"
"""The service in the SigV4 credential scope of requests for MWAA; a test compares it with the model."""


def model() -> ServiceModel:
    """The service model, read once."""
    return service_models.of(SERVICE)


@cache
def operations() -> tuple[OperationModel, ...]:
    """Every operation of the model."""
    return tuple(model().operation_model(name) for name in model().operation_names)


@cache
def declared_errors(operation: str) -> frozenset[str]:
    """The error shapes that the model declares for an operation."""
    return frozenset(shape.name for shape in model().operation_model(operation).error_shapes)
