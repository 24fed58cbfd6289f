"""Airflow 2's and 1.10's web server: gunicorn in this process, without the command's monitor.

The application is built once, before gunicorn forks, so that its processes share the memory. Ready means that the
application is built and the socket listens.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from argparse import Namespace
from typing import Any

from .notify import Notifier

THREADS = 8
"""Requests that one process serves at once; the UI asks for a handful in parallel."""

SOCKET_UMASK = 0o177
"""Gunicorn makes its socket under it: mode 0600."""


_inherited: list[Any] = []
"""Pools of the parent, kept alive: if they were collected, their connections would be closed for the parent too."""


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Serve the web application on the unix socket."""
    from airflow.configuration import conf
    from gunicorn.app.base import BaseApplication

    with contextlib.suppress(FileNotFoundError):
        os.unlink(arguments.socket)

    options = {
        "bind": "unix:" + arguments.socket,
        "umask": SOCKET_UMASK,
        "workers": conf.getint("webserver", "workers"),
        "worker_class": "gthread",
        "threads": THREADS,
        "timeout": conf.getint("webserver", "web_server_worker_timeout"),
        "graceful_timeout": 10,
        "preload_app": True,
        # gunicorn's own defaults were read when the warm process imported it, perhaps under another uid.
        "user": os.geteuid(),
        "group": os.getegid(),
        "proc_name": "airflow-webserver",
        "forwarded_allow_ips": "*",
        "errorlog": "-",
        "when_ready": _when_ready(notifier),
        "post_fork": _post_fork,
    }

    class Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn is known at run time only
        def load_config(self) -> None:
            for name, value in options.items():
                self.cfg.set(name, value)
            if "control_socket_disable" in self.cfg.settings:
                self.cfg.set("control_socket_disable", True)  # noqa: FBT003 - name and value

        def load(self) -> Any:
            return _application()

    Gunicorn().run()


def _application() -> Any:
    if importlib.util.find_spec("airflow.www_rbac") is not None:
        return _application_1()
    from airflow.providers_manager import ProvidersManager
    from airflow.www.app import cached_app

    manager = ProvidersManager()
    manager.initialize_providers_configuration()
    return cached_app()


def _application_1() -> Any:
    """Airflow 1.10's: of its two web servers, the one that knows roles."""
    from airflow.www_rbac.app import cached_app

    return cached_app()


def _when_ready(notifier: Notifier) -> Any:
    def when_ready(server: Any) -> None:
        del server
        notifier.ready()

    return when_ready


def _post_fork(server: Any, worker: Any) -> None:
    """Drop connections that were opened while the application was built: they belong to the parent."""
    from airflow import settings

    del server, worker
    settings.Session.remove()
    for engine in {settings.engine, *_own_engines()}:
        _inherited.append(engine.pool)
        engine.pool = engine.pool.recreate()


def _own_engines() -> list[Any]:
    """The engines of Airflow 1.10's application, which has one beside Airflow's."""
    if "airflow.www_rbac.app" not in sys.modules:
        return []
    session = sys.modules["airflow.www_rbac.app"].appbuilder.get_session
    bind = session.get_bind()
    session.remove()
    return [bind]
