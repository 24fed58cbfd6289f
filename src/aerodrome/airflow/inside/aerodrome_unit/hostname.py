"""Give the process a host name of its own.

Celery names its node after the host, and Airflow writes it into `task_instance.hostname`: two workers of one machine
must not share it. Celery's own flag for it breaks workers (apache/airflow#59707), and a UTS namespace needs root.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


def adopt(name: str) -> None:
    """Answer `name` wherever the host is asked for its name, also in modules that a warm process imported already."""

    def answer(*_: Any) -> str:
        return name

    originals = (socket.gethostname, socket.getfqdn)
    for module in list(sys.modules.values()):
        for attribute in ("gethostname", "getfqdn"):
            if getattr(module, "__dict__", {}).get(attribute) in originals:
                setattr(module, attribute, answer)
    nodenames: Any = sys.modules.get("celery.utils.nodenames")
    if nodenames is not None:
        # A memoizing wrapper around the original.
        nodenames.gethostname = answer
