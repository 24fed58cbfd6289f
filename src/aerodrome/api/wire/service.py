"""botocore's installed model of the service `mwaa`: the one source of shapes, constraints and declared errors.

Every other module of this package reads it from here. Models under `~/.aws/models` are ignored: the model is the one
that was installed with Aerodrome.
"""

from __future__ import annotations

from functools import cache

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

SERVICE = "mwaa"

SIGNING_NAME = "airflow"
"""The service in the SigV4 credential scope of requests for MWAA; a test compares it with the model."""


@cache
def model() -> ServiceModel:
    """The service model, read once."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(SERVICE, "service-2"), SERVICE)


@cache
def operations() -> tuple[OperationModel, ...]:
    """Every operation of the model."""
    return tuple(model().operation_model(name) for name in model().operation_names)


@cache
def declared_errors(operation: str) -> frozenset[str]:
    """The error shapes that the model declares for an operation."""
    return frozenset(shape.name for shape in model().operation_model(operation).error_shapes)
