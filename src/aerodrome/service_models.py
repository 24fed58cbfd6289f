"""botocore's installed models of AWS services. Whoever speaks a service's wire takes its shapes from here."""

from __future__ import annotations

from functools import cache

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel


@cache
def of(service: str) -> ServiceModel:
    """The model of a service, read once. Models under `~/.aws/models` are ignored: it is the one that was installed."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


def targeted(service: str, target: str) -> OperationModel | None:
    """The operation of a JSON service that the header `X-Amz-Target` names; None = the model has none."""
    prefix, _, name = target.partition(".")
    model = of(service)
    if prefix != model.metadata["targetPrefix"] or name not in model.operation_names:
        return None
    return model.operation_model(name)
