"""What says where metrics and spans are from: attributes of OpenTelemetry's resources."""

from __future__ import annotations

import socket
from collections.abc import Mapping

CONTROL_PLANE = "aerodrome-control-plane"
"""The service that the control plane is."""

ENVIRONMENT = "aerodrome.environment"


def attributes(environment: str | None, instance: str | None = None) -> Mapping[str, str]:
    """Those of an environment; None = of the control plane. `instance` tells installations apart."""
    found = {
        "service.namespace": "aerodrome",
        "service.name": environment or CONTROL_PLANE,
        "host.name": socket.gethostname(),
    }
    if environment is not None:
        found[ENVIRONMENT] = environment
    if instance is not None:
        found["service.instance.id"] = instance
    return found
