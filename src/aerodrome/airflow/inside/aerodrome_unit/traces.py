"""Spans of Airflow 3.2 and later, in processes that are forks of one that has imported Airflow.

Airflow sets tracing up where it is imported, and with it a thread that sends spans. The process that units are forked
from has neither, and whose spans they are is not known there. So each unit does it once it has its own configuration.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import os
from typing import Any

VARIABLE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
"""Is set where spans are wanted."""

EXPORTERS = ("opentelemetry.exporter.otlp.proto.http.trace_exporter",)
"""What units need for it, to be imported once for all of them."""


def wanted() -> tuple[str, ...]:
    """The modules that units of this environment will need."""
    return EXPORTERS if os.environ.get(VARIABLE) else ()


def begin() -> None:
    """Have this process and its forks send spans, if its configuration says so."""
    try:
        found: Any = importlib.import_module("airflow._shared.observability.traces")
    except ImportError:
        return  # Airflow 3.0 and earlier lines know another way, and no unit of theirs is asked for spans
    api: Any = importlib.import_module("opentelemetry.trace")
    if not isinstance(api.get_tracer_provider(), api.ProxyTracerProvider):
        return  # a variable had Airflow do it when it was imported
    configuration: Any = importlib.import_module("airflow.configuration")
    found.configure_otel(configuration.conf)
